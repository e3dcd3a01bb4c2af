-- All counts of a prefix and the offsets that they go with, at one moment. Reads only.
--
-- KEYS     offsets, meta, then the keys of each section, as for checkpoint.lua
-- ARGV     the sections: kind, number of keys, number of arguments, and the arguments: of days the
--          names of those that have a hash, of others none
-- Returns  {{partition, offset, ...}, horizon, time, sections}; of a section {name, count, ...}; of
--          days {{day, expires, ...}, {day, {HH:MM, count, ...}, ...}}, the sum of others as day ''
--          'again': other days have a hash by now; ask for them, and call again
local call = redis.call
local kinds = {}

function kinds.values(keys) return call('ZRANGE', keys[1], 0, -1, 'WITHSCORES') end

function kinds.names(keys) return call('HGETALL', keys[1]) end

function kinds.days(keys, names)
    local index, key_of, hashes = call('ZRANGE', keys[1], 0, -1, 'WITHSCORES'), {}, {}
    for i, day in ipairs(names) do key_of[day] = keys[3 + i] end
    for i = 1, #index, 2 do
        if not key_of[index[i]] then return end
        hashes[#hashes + 1] = index[i]
        hashes[#hashes + 1] = call('HGETALL', key_of[index[i]])
    end
    hashes[#hashes + 1] = ''
    hashes[#hashes + 1] = call('HGETALL', keys[2])
    return {index, hashes}
end

local sections, key, argument = {}, 3, 1
while argument <= #ARGV do
    local key_count, count = tonumber(ARGV[argument + 1]), tonumber(ARGV[argument + 2])
    local keys, arguments = {}, {}
    for i = 1, key_count do keys[i] = KEYS[key + i - 1] end
    for i = 1, count do arguments[i] = ARGV[argument + 2 + i] end
    local counts = kinds[ARGV[argument]](keys, arguments)
    if not counts then return 'again' end
    sections[#sections + 1] = counts
    key, argument = key + key_count, argument + 3 + count
end
return {call('HGETALL', KEYS[1]), call('HGET', KEYS[2], 'horizon') or '', call('TIME')[1], sections}
