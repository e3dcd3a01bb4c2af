-- One checkpoint of one partition: moves its offset from base to goal and adds the counts, or does
-- nothing. Every key is looked at before the first write, so that no error can leave it half done.
--
-- KEYS  offsets, meta, rejected_counts, anomalies, login_days, login_counts:__other__, a sorted set
--       for each dimension, a hash login_counts:YYYY-MM-DD for each day, oldest first
-- ARGV  partition, base (an offset, 'none', or 'unknown': never equal), goal, schema, group, topic,
--       topic id ('' if not known), threshold, max_values, retention_s, now_s, max_days, dimension
--       count; then n and n pairs (value, logins) for each dimension; n and n pairs (reason,
--       records); then for each day its name, n, and n pairs (HH:MM, logins)
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
--
-- The newest max_days days have a hash of their own; what is older is one sum, under __other__.
-- Which days those are does not depend on the order in which they came: the horizon (in meta) is the
-- oldest day that was kept when one had to go, and a day before it never comes back.
local OFFSETS, META, REJECTED, ANOMALIES, DAYS, OTHER_DAYS, FIRST_DIMENSION = 1, 2, 3, 4, 5, 6, 7
local partition, base, goal = ARGV[1], ARGV[2], ARGV[3]
local threshold, max_values = tonumber(ARGV[8]), tonumber(ARGV[9])
local retention_s, now_s = tonumber(ARGV[10]), tonumber(ARGV[11])
local max_days, dimension_count = tonumber(ARGV[12]), tonumber(ARGV[13])
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

local owner = redis.call('HMGET', KEYS[META], 'schema', 'group', 'topic', 'topic_id', 'checkpoints',
                         'seal', 'horizon')
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
    or is_denied('hincrby', first_day, 'f', '1') or is_denied('hincrby', OTHER_DAYS, 'f', '1')
    or is_denied('expire', OTHER_DAYS, '1') or is_denied('zrem', DAYS, 'm')
    or is_denied('del', OTHER_DAYS))
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

local horizon, folded, folded_logins = owner[7] or '', {}, 0
local names = {}
for i = first_day, #KEYS do
    local day = KEYS[i]:sub(-10)
    if day >= horizon and not redis.call('ZSCORE', KEYS[DAYS], day) then names[#names + 1] = day end
end
local surplus = #names > 0 and #names + redis.call('ZCARD', KEYS[DAYS]) - max_days or 0
if surplus > 0 then
    for _, day in ipairs(redis.call('ZRANGE', KEYS[DAYS], 0, -1)) do names[#names + 1] = day end
    table.sort(names)
    horizon = names[surplus + 1]
    for n = 1, surplus do
        local key = KEYS[OTHER_DAYS]:sub(1, -#'__other__' - 1) .. names[n]
        local found = redis.call('TYPE', key).ok
        if found == 'hash' then
            folded[#folded + 1] = names[n]
            for _, logins in ipairs(redis.call('HVALS', key)) do
                folded_logins = folded_logins + tonumber(logins)
            end
        elseif found ~= 'none' then
            return {'wrongtype', key, found}
        end
    end
end

redis.call('HSET', KEYS[META], 'seal', redis.call('HINCRBY', KEYS[META], 'checkpoints', 1))
if not owner[1] or ((owner[4] or '') == '' and ARGV[7] ~= '') then
    redis.call('HSET', KEYS[META], 'schema', ARGV[4], 'group', ARGV[5], 'topic', ARGV[6], 'topic_id', ARGV[7])
end
redis.call('HSET', KEYS[OFFSETS], partition, goal)
if surplus > 0 then redis.call('HSET', KEYS[META], 'horizon', horizon) end
for _, day in ipairs(folded) do
    redis.call('DEL', KEYS[OTHER_DAYS]:sub(1, -#'__other__' - 1) .. day)
    redis.call('ZREM', KEYS[DAYS], day)
end

local next_argument = 14
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
    local is_kept = day >= horizon
    for _ = 1, tonumber(take()) do
        local minute, logins = take(), take()
        local total = is_kept and redis.call('HINCRBY', KEYS[i], minute, logins) or 0
        if not is_kept then folded_logins = folded_logins + tonumber(logins) end
        if total > threshold and total - tonumber(logins) <= threshold then
            redis.call('XADD', KEYS[ANOMALIES], 'MAXLEN', '~', 10000, '*', 'kind', 'threshold',
                       'minute', day .. ' ' .. minute, 'count', total, 'threshold', threshold)
            answer[#answer + 1] = day .. ' ' .. minute
            answer[#answer + 1] = total
        end
    end
    if is_kept then
        redis.call('EXPIRE', KEYS[i], retention_s)
        redis.call('ZADD', KEYS[DAYS], now_s + retention_s, day)
    end
end
if folded_logins > 0 then
    redis.call('HINCRBY', KEYS[OTHER_DAYS], '__other__', string.format('%.0f', folded_logins))
    redis.call('EXPIRE', KEYS[OTHER_DAYS], retention_s)
end
if #KEYS >= first_day then redis.call('ZREMRANGEBYSCORE', KEYS[DAYS], '-inf', now_s) end
return answer
