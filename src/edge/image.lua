-- All counts of a prefix and the offsets that they go with, at one moment. Reads only.
--
-- KEYS     offsets, meta, then the keys of each section, as for checkpoint.lua
-- ARGV     the sections: kind, number of keys, number of arguments, and the arguments: of days and
--          buckets the names of those that have a key (distinct_by: behind each the number of its
--          values, and these), of others none
-- Returns  {{partition, offset, ...}, horizon, time, sections}; of a section {name, count, ...}; of
--          days and buckets {{name, expires, ...}, {name, {HH:MM or value, count, ...}, ...}}; the
--          sum of other days as day '', all other buckets as '__other__', a hash of days as ''
--          'again': other days or buckets are there by now; ask for them, and call again
local call = redis.call
local kinds = {}

function kinds.values(keys) return call('ZRANGE', keys[1], 0, -1, 'WITHSCORES') end

function kinds.names(keys) return call('HGETALL', keys[1]) end

local function read_hash(key) return call('HGETALL', key) end

local function read_set(key) return call('ZRANGE', key, 0, -1, 'WITHSCORES') end

-- The index, and all that read() finds in the keys of these names, and in that of others; nil if the
-- index has another name.
local function read_all(keys, names, first, read, other)
    local index, is_known, found = read_set(keys[1]), {}, {}
    for i, name in ipairs(names) do
        is_known[name] = true
        found[2 * i - 1], found[2 * i] = name, read(keys[first + i - 1])
    end
    for i = 1, #index, 2 do
        if not is_known[index[i]] then return end
    end
    found[#found + 1] = other
    found[#found + 1] = read(keys[2])
    return {index, found}
end

function kinds.days(keys, names) return read_all(keys, names, 4, read_hash, '') end

function kinds.buckets(keys, names) return read_all(keys, names, 3, read_set, '__other__') end

function kinds.times(keys, names) return read_all(keys, names, 3, read_hash, '__other__') end

local function read_text(key)
    local text = call('GET', key)
    return text and {'', text} or {}
end

function kinds.distinct(keys, names) return read_all(keys, names, 4, read_text, '__other__') end

-- The values of a bucket with their HyperLogLogs, '' where it is gone and has not expired, and how
-- many values there are; nil if it has one that is not among the words from i on.
local function read_values(keys, k, words, i)
    local is_known, found, n, now_s = {}, {}, tonumber(words[i]), tonumber(call('TIME')[1])
    for j = 1, n do
        local value, text = words[i + j], call('GET', keys[k + 1 + j])
        is_known[value] = true
        if text or tonumber(call('ZSCORE', keys[k + 1], value) or 0) > now_s then
            found[#found + 1], found[#found + 2] = value, text or ''
        end
    end
    for _, value in ipairs(call('ZRANGE', keys[k], 0, -1)) do
        if not is_known[value] then return end
    end
    return found, n
end

function kinds.distinct_by(keys, words)
    local index, is_known, found, k, i = read_set(keys[1]), {}, {}, 4, 1
    while i <= #words do
        local values, n = read_values(keys, k, words, i + 1)
        if not values then return end
        is_known[words[i]] = true
        found[#found + 1], found[#found + 2] = words[i], values
        k, i = k + 2 + n, i + 2 + n
    end
    for j = 1, #index, 2 do
        if not is_known[index[j]] then return end
    end
    if words[1] ~= '' then -- a total has its values alone
        found[#found + 1], found[#found + 2] = '__other__', read_text(keys[2])
    end
    return {index, found}
end

function kinds.dates(keys) return {read_set(keys[1]), {'', read_hash(keys[2])}} end

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
