-- The kind of declared counts that counts distinct values (core/hyperloglog); a part of
-- checkpoint.lua, behind declared.lua.
--
-- Keys: the index, the HyperLogLog of all that have no room in it, a place for a piece, which is
-- empty before and after, and the HyperLogLogs of buckets. Arguments: max_buckets, retention_s,
-- max_values, then for each bucket its name, n, and n pairs of value ('') and piece.
--
-- A piece is what hyperloglog_write has made: elements of 8 bytes for PFADD, or a string for
-- PFMERGE. To merge the same piece twice changes nothing.
local DENSE_BYTES, ELEMENT_BYTES = 12304, 8

kinds.distinct = {types = {'zset', 'string'},
                  reads = {'zscore', 'zcard', 'getrange', 'strlen', 'pfcount'},
                  writes = {'pfadd', 'pfmerge', 'set', 'del', 'expire', 'zadd', 'zremrangebyscore'}}

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
