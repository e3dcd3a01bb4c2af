-- All counts of a prefix and the offsets that they go with, at one moment. Reads only.
--
-- KEYS     offsets, meta, then the keys of each section, as for checkpoint.lua
-- ARGV     the sections: kind, number of keys, number of arguments, and the arguments: of days and
--          buckets the names of those that have a key, of others none
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
