-- The kinds of declared counts that count distinct values (core/hyperloglog); a part of
-- checkpoint.lua, behind declared.lua.
--
-- Keys: the index, the HyperLogLog of all that have no room in it, a place for a piece, which is
-- empty before and after, and the HyperLogLogs of buckets. Arguments: max_buckets, retention_s,
-- max_values, then for each bucket its name, n, and n pairs of value ('') and piece.
--
-- A piece is what hyperloglog_write has made: elements of 8 bytes for PFADD, or a string for
-- PFMERGE. To merge the same piece twice changes nothing.
local DENSE_BYTES, ELEMENT_BYTES = 12304, 8
local piece_writes = {'pfadd', 'pfmerge', 'expire'}

kinds.distinct = {types = {'zset', 'string'},
                  reads = {'zscore', 'zcard', 'getrange', 'strlen', 'pfcount'},
                  writes = {index_writes, piece_writes, {'set', 'del'}, piece_writes}}

-- An answer, if a key holds something that cannot be merged into. Many registers are one string of
-- one length, whatever is in it. A few are a list of runs, which Redis reads whole when it is asked
-- for two keys together; and then it caches nothing.
local function look_at_distinct(key)
    local size = call('STRLEN', key)
    if size == 0 then return end
    local head = call('GETRANGE', key, 0, 4)
    if head == 'HYLL\0' and size == DENSE_BYTES then return end
    if head == 'HYLL\1' then
        local n = redis.pcall('PFCOUNT', key, key)
        if type(n) == 'number' then return end
        if not string.find(n.err, 'INVALIDOBJ') and not string.find(n.err, 'WRONGTYPE') then
            return n -- a right that is missing
        end
    end
    return {'odd', key, 'a HyperLogLog', (string.gsub(head, '[^%w]', '?'))}
end

function kinds.distinct.look(s)
    look_at_buckets(s, true, 2)
    for _, bucket in ipairs(s.buckets) do
        local refusal = look_at_distinct(bucket.key)
        if refusal then return refusal end
    end
end

local function write_piece(key, place, piece)
    if #piece == DENSE_BYTES then
        call('SET', place, piece)
        call('PFMERGE', key, place)
        call('DEL', place)
        return
    end
    local elements = {}
    for i = 1, #piece, ELEMENT_BYTES do
        elements[#elements + 1] = string.sub(piece, i, i + ELEMENT_BYTES - 1)
    end
    call('PFADD', key, unpack(elements))
end

function kinds.distinct.write(s)
    for _, bucket in ipairs(s.buckets) do
        for i = bucket.first + 1, bucket.last, 2 do
            write_piece(bucket.key, KEYS[s.key + 2], ARGV[i])
        end
        keep(s, bucket)
    end
    forget_expired(s)
end

-- The same by dimensions: a HyperLogLog for each value of a bucket.
--
-- Keys: the index, the HyperLogLog of all buckets that have no room in it, a place for a piece;
-- then for each bucket the sorted set of its values with what PFCOUNT says of each, that of when
-- they expire, the HyperLogLog of all values that have no room, which is that of value OTHER, and
-- those of its values. Arguments: as above, with pairs of value and piece.
--
-- A HyperLogLog is kept for retention_s after the last write to it, and its value leaves the sorted
-- sets with the next write to the bucket after that.
kinds.distinct_by = {types = {'zset', 'string', 'string', false},
                     reads = {'zscore', 'zcard', 'getrange', 'strlen'},
                     writes = {index_writes, piece_writes, {'set', 'del'}, false,
                               own = {'pfadd', 'pfmerge', 'pfcount', 'expire'},
                               values = {'zadd', 'zrem', 'expire'},
                               ends = {'zadd', 'zrangebyscore', 'zremrangebyscore', 'expire'}}}

local function look_at_type(i, wanted)
    if types[i] ~= 'none' and types[i] ~= wanted then return {'wrongtype', KEYS[i], types[i]} end
end

-- Gives each of a bucket's pieces a key to be merged into; key: the index of the first one's own;
-- place: the key for a piece.
local function look_at_pieces(bucket, max_values, key, place)
    local rights = bucket.is_other and piece_writes or kinds.distinct_by.writes.own
    local room, is_new = max_values - call('ZCARD', bucket.values), {}
    if call('ZSCORE', bucket.values, OTHER) then room = room + 1 end
    for i = bucket.first, bucket.last, 2 do
        local piece = {value = ARGV[i], key = KEYS[key], bytes = ARGV[i + 1]}
        local is_there = is_new[piece.value] or call('ZSCORE', bucket.values, piece.value)
        if bucket.is_other then
            piece.key = bucket.key
        elseif piece.value == OTHER or (not is_there and room <= 0) then
            piece.value, piece.key = OTHER, bucket.rest
        elseif not is_there then
            room, is_new[piece.value] = room - 1, true
        end
        local refusal = look_at_type(key, 'string') or look_at_rights(rights, piece.key, place) or
                        look_at_distinct(piece.key)
        if refusal then return refusal end
        bucket.pieces[#bucket.pieces + 1] = piece
        key = key + 1
    end
end

function kinds.distinct_by.look(s)
    local max_values, key, writes = tonumber(ARGV[s.first + 2]), s.key + 3, s.kind.writes
    look_at_buckets(s, false, 2)
    for _, bucket in ipairs(s.buckets) do
        bucket.values, bucket.ends, bucket.rest = KEYS[key], KEYS[key + 1], KEYS[key + 2]
        bucket.pieces = {}
        local refusal = look_at_type(key, 'zset') or look_at_type(key + 1, 'zset') or
                        look_at_type(key + 2, 'string') or
                        (not bucket.is_other and (look_at_rights(writes.values, bucket.values) or
                                                  look_at_rights(writes.ends, bucket.ends))) or
                        look_at_pieces(bucket, max_values, key + 3, KEYS[s.key + 2])
        if refusal then return refusal end
        key = key + 3 + (bucket.last - bucket.first + 1) / 2
    end
end

-- Forgets the values that have expired, as many at once as fit on Lua's stack.
local function forget_values(bucket)
    local expired = call('ZRANGEBYSCORE', bucket.ends, '-inf', now_s)
    for from = 1, #expired, PIECE do
        call('ZREM', bucket.values, unpack(expired, from, math.min(from + PIECE - 1, #expired)))
    end
    call('ZREMRANGEBYSCORE', bucket.ends, '-inf', now_s)
end

local function write_values_of(s, bucket)
    local keys = {}
    for _, piece in ipairs(bucket.pieces) do
        write_piece(piece.key, KEYS[s.key + 2], piece.bytes)
        keys[piece.value] = piece.key
    end
    if bucket.is_other then return end
    for value, key in pairs(keys) do
        call('ZADD', bucket.values, call('PFCOUNT', key), value)
        call('ZADD', bucket.ends, now_s + s.retention_s, value)
        call('EXPIRE', key, s.retention_s)
    end
    forget_values(bucket)
    call('EXPIRE', bucket.ends, s.retention_s)
    bucket.key = bucket.values
end

function kinds.distinct_by.write(s)
    for _, bucket in ipairs(s.buckets) do
        write_values_of(s, bucket)
        keep(s, bucket)
    end
    forget_expired(s)
end
