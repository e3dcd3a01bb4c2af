-- One checkpoint of one partition: moves its offset from base to goal and adds the counts, or does
-- nothing. Every key is looked at before the first write, so that no error can leave it half done.
--
-- KEYS  offsets, meta, rejected_counts, anomalies, login_days, a sorted set for each dimension,
--       a hash for each day
-- ARGV  partition, base (an offset, 'none', or 'unknown': never equal), goal, schema, group, topic,
--       topic id ('' if not known), threshold, max_values, retention_s, now_s, dimension count; then
--       n and n pairs (value, logins) for each dimension; n and n pairs (reason, records); then for
--       each day its name, n, and n pairs (HH:MM, logins)
-- Says  {'stored', offset, minute, count, ...} the offset now equals goal; then each new anomaly
--       {'kept', offset | 'none'}              the offset was another one; nothing was changed
--       {'foreign', field, theirs}             the prefix belongs to another group, topic or schema
--       {'partial', key}                       this key is gone while its sister is there
--       {'wrongtype', key, type}
--       {'odd', value}                         what is stored for the partition is no offset
--       {'denied', command, key}               the user lacks this right (told since Redis 7)
--       {'torn', checkpoints}                  half of a checkpoint was applied, or one twice
--
-- Redis that starts from an append-only file cut within a script's writes drops them, but leaves their
-- head in the file; the next start runs that head together with what follows it. So the number of
-- checkpoints is kept twice, and is the first that is written: once added to, once set. The two differ
-- for good once a head was run that is no part of the history.
local OFFSETS, META, REJECTED, ANOMALIES, DAYS, FIRST_DIMENSION = 1, 2, 3, 4, 5, 6
local partition, base, goal = ARGV[1], ARGV[2], ARGV[3]
local threshold, max_values = tonumber(ARGV[8]), tonumber(ARGV[9])
local retention_s, now_s, dimension_count = tonumber(ARGV[10]), tonumber(ARGV[11]), tonumber(ARGV[12])
local first_day = FIRST_DIMENSION + dimension_count

local function wanted_type(i)
    if i == ANOMALIES then return 'stream' end
    if i == DAYS or (i >= FIRST_DIMENSION and i < first_day) then return 'zset' end
    return 'hash'
end
for i = 1, #KEYS do
    local found = redis.call('TYPE', KEYS[i]).ok
    if found ~= 'none' and found ~= wanted_type(i) then return {'wrongtype', KEYS[i], found} end
end

local owner = redis.call('HMGET', KEYS[META], 'schema', 'group', 'topic', 'topic_id', 'checkpoints', 'seal')
for i, field in ipairs({'schema', 'group', 'topic', 'topic_id'}) do
    local theirs, ours = owner[i], ARGV[3 + i]
    if theirs and ours ~= '' and theirs ~= '' and theirs ~= ours then
        return {'foreign', field, theirs}
    end
end
-- A right that is lacking amid the writes would leave them half done.
local function is_denied(command, i, ...)
    return KEYS[i] and not redis.acl_check_cmd(command, KEYS[i], ...) and {'denied', command, KEYS[i]}
end
local denied = redis.acl_check_cmd and (
    is_denied('hincrby', META, 'f', '1') or is_denied('hset', META, 'f', 'v')
    or is_denied('hset', OFFSETS, 'f', 'v') or is_denied('hincrby', REJECTED, 'f', '1')
    or is_denied('xadd', ANOMALIES, '*', 'f', 'v') or is_denied('zadd', DAYS, '1', 'm')
    or is_denied('zremrangebyscore', DAYS, '-inf', '1') or is_denied('zcard', FIRST_DIMENSION)
    or is_denied('zscore', FIRST_DIMENSION, 'm') or is_denied('zincrby', FIRST_DIMENSION, '1', 'm')
    or is_denied('hincrby', first_day, 'f', '1') or is_denied('expire', DAYS, '1'))
if denied then return denied end
local stored = redis.call('HGET', KEYS[OFFSETS], partition)
if stored and not owner[1] then return {'partial', KEYS[META]} end
if owner[1] and not stored and redis.call('EXISTS', KEYS[OFFSETS]) == 0 then
    return {'partial', KEYS[OFFSETS]}
end
if stored and (#stored > 18 or not string.find(stored, '^%d+$')) then return {'odd', stored} end
if owner[5] ~= owner[6] then return {'torn', owner[5] or '0'} end
if (stored or 'none') ~= base then return {'kept', stored or 'none'} end
if base == goal then return {'stored', goal} end

redis.call('HSET', KEYS[META], 'seal', redis.call('HINCRBY', KEYS[META], 'checkpoints', 1))
if not owner[1] or ((owner[4] or '') == '' and ARGV[7] ~= '') then
    redis.call('HSET', KEYS[META], 'schema', ARGV[4], 'group', ARGV[5], 'topic', ARGV[6], 'topic_id', ARGV[7])
end
redis.call('HSET', KEYS[OFFSETS], partition, goal)

local next_argument = 13
local function take()
    next_argument = next_argument + 1
    return ARGV[next_argument - 1]
end

for d = 0, dimension_count - 1 do
    local key = KEYS[FIRST_DIMENSION + d]
    local pair_count = tonumber(take())
    local room = pair_count == 0 and 0 or max_values - redis.call('ZCARD', key)
    if pair_count > 0 and redis.call('ZSCORE', key, '__other__') then room = room + 1 end
    for _ = 1, pair_count do
        local value, logins = take(), take()
        if room <= 0 and not redis.call('ZSCORE', key, value) then value = '__other__' end
        local total = redis.call('ZINCRBY', key, logins, value)
        if tonumber(total) == tonumber(logins) and value ~= '__other__' then room = room - 1 end
    end
end

for _ = 1, tonumber(take()) do
    local reason, records = take(), take()
    redis.call('HINCRBY', KEYS[REJECTED], reason, records)
end

local answer = {'stored', goal}
for i = first_day, #KEYS do
    local day = take()
    for _ = 1, tonumber(take()) do
        local minute, logins = take(), take()
        local total = redis.call('HINCRBY', KEYS[i], minute, logins)
        if total > threshold and total - tonumber(logins) <= threshold then
            redis.call('XADD', KEYS[ANOMALIES], 'MAXLEN', '~', 10000, '*', 'kind', 'threshold',
                       'minute', day .. ' ' .. minute, 'count', total, 'threshold', threshold)
            answer[#answer + 1] = day .. ' ' .. minute
            answer[#answer + 1] = total
        end
    end
    redis.call('EXPIRE', KEYS[i], retention_s)
    redis.call('ZADD', KEYS[DAYS], now_s + retention_s, day)
end
if #KEYS >= first_day then redis.call('ZREMRANGEBYSCORE', KEYS[DAYS], '-inf', now_s) end
return answer
