-- All counts at one moment, but of days and buckets no more than a call has room for. No key is
-- touched that is not in KEYS.
--
-- KEYS     the keys of each section, as for checkpoint.lua
-- ARGV     how many counts of days and buckets may be read (of each section the first one asked for
--          always is), how many bytes may be answered, '1' if this is not the first call, then the
--          sections: kind, number of keys, number of arguments, and the arguments, which nothing
--          here needs
-- Returns  what INFO has on replication ('' without the right to it), then for each section its
--          counts, packed; largest first where they are values; of days and buckets
--          {all that have a key, the counts of others, the first one asked for, ...}, as many as
--          there was room for. The first two are '' unless this is the first call.
--          {'large', bytes} if it would be more than may be answered
--
-- Packed counts are LENGTH NAME COUNT LENGTH NAME COUNT ..., between blanks. Names may have blanks.
local counts_left, bytes_left, is_first = tonumber(ARGV[1]), tonumber(ARGV[2]), ARGV[3] ~= '1'
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

local function read_set(key) return redis.call('ZREVRANGE', key, 0, -1, 'WITHSCORES') end

local function read_hash(key) return redis.call('HGETALL', key) end

function kinds.values(keys) return pack(read_set(keys[1])) end

function kinds.names(keys) return pack(read_hash(keys[1])) end

function kinds.dates(keys) return pack(read_hash(keys[2])) end

-- Keys: the sorted set of all that have a key, that of all others, which read_other() reads if it
-- is of another kind, and from `first` on those that were asked for, `step` of each.
local function read_buckets(keys, first, read, read_other, step)
    local answer = {'', ''}
    if is_first then
        answer[1] = send(table.concat(redis.call('ZRANGE', keys[1], 0, -1), ' '))
        answer[2] = pack((read_other or read)(keys[2]))
    end
    for i = first, #keys, step or 1 do
        local counts = read(keys[i], keys[i + 1])
        counts_left = counts_left - #counts / 2
        if counts_left < 0 and i > first then break end
        answer[#answer + 1] = pack(counts)
    end
    return answer
end

function kinds.days(keys) return read_buckets(keys, 4, read_hash) end

function kinds.buckets(keys) return read_buckets(keys, 3, read_set) end

function kinds.times(keys) return read_buckets(keys, 3, read_hash) end

-- Of two keys together Redis caches nothing, so that it is nothing that a replica must not do.
local function read_distinct(key)
    local n = redis.call('PFCOUNT', key, key)
    return n > 0 and {'', n} or {}
end

function kinds.distinct(keys) return read_buckets(keys, 4, read_distinct) end

-- What PFCOUNT says of each value is in a sorted set; in another one is when they expire.
local function read_unexpired(values, ends)
    local is_expired, found, now_s = {}, {}, redis.call('TIME')[1]
    for _, value in ipairs(redis.call('ZRANGEBYSCORE', ends, '-inf', now_s)) do
        is_expired[value] = true
    end
    local stored = read_set(values)
    if not next(is_expired) then return stored end
    for i = 1, #stored, 2 do
        if not is_expired[stored[i]] then
            found[#found + 1], found[#found + 2] = stored[i], stored[i + 1]
        end
    end
    return found
end

-- Of all other buckets there is one HyperLogLog.
local function read_other_distinct(key)
    local found = read_distinct(key)
    return found[1] and {'__other__', found[2]} or {}
end

function kinds.distinct_by(keys)
    return read_buckets(keys, 4, read_unexpired, read_other_distinct, 2)
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
