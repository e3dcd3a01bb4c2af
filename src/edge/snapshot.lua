-- All counts at one moment, but of the days no more than a call has room for. No key is touched that
-- is not in KEYS.
--
-- KEYS     the keys of each section, as for checkpoint.lua
-- ARGV     how many minutes may be read (the first day asked for always is), how many bytes may be
--          answered, '1' if this is not the first call, then the sections: kind, number of keys,
--          number of arguments, and the arguments, which nothing here needs
-- Returns  what INFO has on replication ('' without the right to it), then for each section its
--          counts, packed; largest first where they are values; of days
--          {all days that have a hash, the sum of other days, the first day asked for, ...}, as many
--          days as there was room for. The first two are '' unless this is the first call.
--          {'large', bytes} if it would be more than may be answered
--
-- Packed counts are LENGTH NAME COUNT LENGTH NAME COUNT ..., between blanks. Names may have blanks.
local minutes_left, bytes_left, is_first = tonumber(ARGV[1]), tonumber(ARGV[2]), ARGV[3] ~= '1'
local bytes = 0
local kinds = {}

local function send(text)
    bytes = bytes + #text
    return text
end

local function pack(pairs)
    local words = {}
    for i = 1, #pairs, 2 do
        local n = #words
        words[n + 1], words[n + 2], words[n + 3] = #pairs[i], pairs[i], pairs[i + 1]
    end
    return send(table.concat(words, ' '))
end

function kinds.values(keys)
    return pack(redis.call('ZREVRANGE', keys[1], 0, -1, 'WITHSCORES'))
end

function kinds.names(keys) return pack(redis.call('HGETALL', keys[1])) end

-- Keys: the sorted set of days that have a hash, the hash of the sum of all others, the stream of
-- anomalies, the hashes of the days asked for.
function kinds.days(keys)
    local answer = {'', ''}
    if is_first then
        answer[1] = send(table.concat(redis.call('ZRANGE', keys[1], 0, -1), ' '))
        answer[2] = pack(redis.call('HGETALL', keys[2]))
    end
    for i = 4, #keys do
        local minutes = redis.call('HGETALL', keys[i])
        minutes_left = minutes_left - #minutes / 2
        if minutes_left < 0 and i > 4 then break end
        answer[#answer + 1] = pack(minutes)
    end
    return answer
end

local info = redis.pcall('INFO', 'replication')
local answer, key, argument = {type(info) == 'string' and info or ''}, 1, 4
while argument <= #ARGV do
    local key_count, count = tonumber(ARGV[argument + 1]), tonumber(ARGV[argument + 2])
    local keys = {}
    for i = 1, key_count do keys[i] = KEYS[key + i - 1] end
    answer[#answer + 1] = kinds[ARGV[argument]](keys)
    if bytes > bytes_left then return {'large', tostring(bytes)} end
    key, argument = key + key_count, argument + 3 + count
end
return answer
