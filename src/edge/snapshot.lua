-- All counts at one moment. No key is touched that is not in KEYS.
--
-- KEYS     the keys of each section, as for checkpoint.lua
-- ARGV     the sections: kind, number of keys, number of arguments, and the arguments: of days the
--          names of those that have a hash, of others none
-- Returns  an entry for each section: {value, count, ...}, largest first; {name, count, ...}; of
--          days {day, {HH:MM, count, ...}, ...} in order, and last '', {'__other__', count}
--          'again': other days have a hash by now; ask for them, and call again
local kinds = {}

function kinds.values(keys) return redis.call('ZREVRANGE', keys[1], 0, -1, 'WITHSCORES') end

function kinds.names(keys) return redis.call('HGETALL', keys[1]) end

-- Keys: the sorted set of days that have a hash, the hash of the sum of all others, the stream of
-- anomalies, the hashes of days.
function kinds.days(keys, names)
    local key_of, answer = {}, {}
    for i, day in ipairs(names) do key_of[day] = keys[3 + i] end
    local days = redis.call('ZRANGE', keys[1], 0, -1)
    if #days ~= #names then return end
    table.sort(days)
    for _, day in ipairs(days) do
        if not key_of[day] then return end
        local minutes = redis.call('HGETALL', key_of[day])
        if #minutes > 0 then
            answer[#answer + 1] = day
            answer[#answer + 1] = minutes
        end
    end
    local others = redis.call('HGETALL', keys[2])
    if #others > 0 then
        answer[#answer + 1] = ''
        answer[#answer + 1] = others
    end
    return answer
end

local answer, key, argument = {}, 1, 1
while argument <= #ARGV do
    local key_count, count = tonumber(ARGV[argument + 1]), tonumber(ARGV[argument + 2])
    local keys, arguments = {}, {}
    for i = 1, key_count do keys[i] = KEYS[key + i - 1] end
    for i = 1, count do arguments[i] = ARGV[argument + 2 + i] end
    local counts = kinds[ARGV[argument]](keys, arguments)
    if not counts then return 'again' end
    answer[#answer + 1] = counts
    key, argument = key + key_count, argument + 3 + count
end
return answer
