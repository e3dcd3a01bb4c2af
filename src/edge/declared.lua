-- The kinds of counts that users declare (core/declared); a part of checkpoint.lua.
--
-- Keys: the index, which is a sorted set of all buckets by the time at which they expire; what is
-- beyond a bound; of buckets and times the keys of buckets. Arguments: max_buckets, retention_s,
-- max_values, then for each bucket its name, n, and n pairs of value or time and count.
--
-- There are at most max_buckets buckets; what belongs to further ones is counted as OTHER.

-- Reads the arguments into s, and looks for the buckets that there is no room for. skipped: how many
-- keys there are before those of buckets, besides the index.
local function look_at_buckets(s, has_keys, skipped)
    s.max_buckets, s.retention_s = tonumber(ARGV[s.first]), tonumber(ARGV[s.first + 1])
    s.buckets = {}
    local index, other, i, room = KEYS[s.key], KEYS[s.key + 1], s.first + 3, nil
    while i <= s.last do
        local bucket = {name = ARGV[i], first = i + 2, last = i + 1 + 2 * ARGV[i + 1]}
        s.buckets[#s.buckets + 1] = bucket
        bucket.key = has_keys and KEYS[s.key + skipped + #s.buckets] or other
        if bucket.name ~= '' and not call('ZSCORE', index, bucket.name) then
            room = room or s.max_buckets - call('ZCARD', index)
            if room <= 0 then bucket.is_other, bucket.key = true, other end
            room = room - 1
        end
        i = bucket.last + 1
    end
end

local function sum_of(bucket)
    local sum = 0
    for i = bucket.first + 1, bucket.last, 2 do sum = sum + ARGV[i] end
    return sum
end

local index_writes = {'zadd', 'zremrangebyscore', 'expire'}

-- What was written to is kept from now on, for retention_s.
local function keep(s, bucket)
    call('EXPIRE', bucket.key, s.retention_s)
    if bucket.name == '' or bucket.is_other then return end
    call('ZADD', KEYS[s.key], now_s + s.retention_s, bucket.name)
    call('EXPIRE', KEYS[s.key], s.retention_s)
end

local function forget_expired(s)
    if #s.buckets > 0 then call('ZREMRANGEBYSCORE', KEYS[s.key], '-inf', now_s) end
end

-- A bucket is a sorted set: value, count. A total is a bucket without a name, not in the index.
kinds.buckets = {types = {'zset'}, reads = {'zscore', 'zcard', 'zrange'},
                 writes = {index_writes, {'zmscore', 'zadd', 'zincrby', 'expire'}}}

function kinds.buckets.look(s)
    local max_values, sums = tonumber(ARGV[s.first + 2]), {}
    s.rooms = {}
    look_at_buckets(s, true, 1)
    for _, bucket in ipairs(s.buckets) do
        local key, refusal = bucket.key, nil
        sums[key] = (sums[key] or 0) + sum_of(bucket)
        s.rooms[key], refusal = look_at_values(key, max_values, sums[key])
        if refusal then return refusal end
    end
end

function kinds.buckets.write(s)
    for _, bucket in ipairs(s.buckets) do
        local key = bucket.key
        s.rooms[key] = write_values(key, s.rooms[key], bucket.first, bucket.last)
        keep(s, bucket)
    end
    forget_expired(s)
end

-- Looks at buckets that are hashes of times and counts, or fields of one hash. What has no room is
-- one field.
local function look_at_times(s, has_keys)
    local other, folded = KEYS[s.key + 1], 0
    look_at_buckets(s, has_keys, 1)
    for _, bucket in ipairs(s.buckets) do
        local refusal
        bucket.words = {}
        if bucket.is_other then
            folded = folded + sum_of(bucket)
        else
            refusal = look_at_hash(bucket.words, bucket.key, bucket.first, bucket.last)
        end
        if refusal then return refusal end
    end
    if folded == 0 then return end
    local stored = call('HGET', other, OTHER)
    s.other = add(number_in(stored), folded)
    if not s.other then return {'odd', other, OTHER, stored} end
end

local function write_times(s)
    for _, bucket in ipairs(s.buckets) do
        if not bucket.is_other then
            call('HSET', bucket.key, unpack(bucket.words))
            keep(s, bucket)
        end
    end
    if not s.other then return end
    call('HSET', KEYS[s.key + 1], OTHER, s.other)
    call('EXPIRE', KEYS[s.key + 1], s.retention_s)
end

-- A bucket is a day, a hash: 14 or 14:36, count.
kinds.times = {types = {'zset', 'hash'}, reads = {'zscore', 'zcard', 'hget', 'hmget'},
               writes = {index_writes, {'hset', 'expire'}}}

function kinds.times.look(s) return look_at_times(s, true) end

function kinds.times.write(s)
    write_times(s)
    forget_expired(s)
end

-- A bucket is a day, a field of the one hash.
kinds.dates = {types = {'zset', 'hash'},
               reads = {'zscore', 'zcard', 'hget', 'hmget', 'zrangebyscore'},
               writes = {index_writes, {'hset', 'hdel', 'expire'}}}

function kinds.dates.look(s)
    local refusal = look_at_times(s, false)
    s.expired = call('ZRANGEBYSCORE', KEYS[s.key], '-inf', now_s)
    return refusal
end

function kinds.dates.write(s)
    local is_written = {}
    write_times(s)
    for _, bucket in ipairs(s.buckets) do is_written[bucket.name] = true end
    for _, day in ipairs(s.expired) do
        if not is_written[day] and #s.buckets > 0 then call('HDEL', KEYS[s.key + 1], day) end
    end
    forget_expired(s)
end
