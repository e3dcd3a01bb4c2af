-- The kind of the logins of each minute, in a hash for each day, and their anomalies; a part of
-- checkpoint.lua.
--
-- Keys: the sorted set of days that have a hash, the hash of the sum of all others, the stream of
-- anomalies, the hashes of days. Arguments: threshold, max_days, retention_s, then for the hash of
-- each day its name, n, and n pairs of HH:MM and count. n is 0 for a day that the script asked for
-- by 'need'.
--
-- The newest max_days days have a hash of their own; older ones are one sum. Which days those are
-- does not depend on the order in which they came: the horizon (in meta) is the oldest day that was
-- kept when one had to go, and a day before it never comes back.
local days = {
    types = {'zset', 'hash', 'stream', 'hash'},
    reads = {'zscore', 'zcard', 'zrange', 'hget', 'hmget', 'hgetall', 'xinfo'},
    writes = {{'zadd', 'zrem', 'zremrangebyscore'}, {'hset', 'expire'}, {'xadd'},
              {'hset', 'expire', 'del'}},
}

-- The horizon was the oldest day in the index when it was written, and none before it comes in. If
-- there is one, somebody else has written the horizon, and days would go into the sum that have no
-- place there. Looked at only before one does, since the index may be long. If all its days have
-- expired it cannot tell; nor can the clock, as the days of events may be ahead of it.
local function look_at_stored_horizon(s)
    for _, day in ipairs(call('ZRANGE', KEYS[s.key], 0, -1)) do
        if day < s.horizon and is_day(day) then return {'odd', KEYS[META], 'horizon', s.horizon} end
    end
end

-- Looks at the days that have to go, if `news` come, which have no hash yet. keys: by day.
local function look_at_horizon(s, news, keys)
    local surplus = #news > 0 and #news + call('ZCARD', KEYS[s.key]) - s.max_days or 0
    if surplus <= 0 then return end
    local need = {'need'}
    for _, day in ipairs(call('ZRANGE', KEYS[s.key], 0, -1)) do
        if not is_day(day) then return {'odd', KEYS[s.key], day, ''} end
        news[#news + 1] = day
    end
    table.sort(news)
    s.horizon = news[surplus + 1]
    for i = 1, surplus do
        local day = news[i]
        s.gone[i] = {name = day, key = keys[day]}
        if not keys[day] then need[#need + 1] = day end
    end
    if #need > 1 then return need end
    for _, day in ipairs(s.gone) do
        local stored = call('HGETALL', day.key)
        for i = 2, #stored, 2 do
            s.folded = add(number_in(stored[i]), s.folded)
            if not s.folded then return {'odd', day.key, stored[i - 1], stored[i]} end
        end
    end
end

-- Looks at a day that logins are to be added to.
local function look_at_day(s, day)
    if day.name < s.horizon then
        for i = day.first + 1, day.last, 2 do s.folded = s.folded + tonumber(ARGV[i]) end
        return
    end
    day.words = {}
    s.kept[#s.kept + 1] = day
    return look_at_hash(day.words, day.key, day.first, day.last, function(minute, before, after)
        if before <= s.threshold and after > s.threshold then
            s.anomalies[#s.anomalies + 1] = {minute = day.name .. ' ' .. minute, count = after}
        end
    end)
end

-- A new entry's id must be higher than all before, so the highest one must not be taken.
local function look_at_stream(key)
    local facts = call('XINFO', 'STREAM', key)
    for i = 1, #facts, 2 do
        local name, id = facts[i], facts[i + 1]
        if name == 'last-generated-id' and string.find(id, '^18446744073709551615%-') then
            return {'odd', key, name, id}
        end
    end
end

function days.look(s)
    s.threshold, s.max_days = tonumber(ARGV[s.first]), tonumber(ARGV[s.first + 1])
    s.retention_s = tonumber(ARGV[s.first + 2])
    s.horizon, s.gone, s.kept, s.anomalies, s.folded = meta.horizon or '', {}, {}, {}, 0
    local keys, news, counted, i, folds = {}, {}, {}, s.first + 3, false
    for k = s.key + 3, s.key + s.key_count - 1 do
        local day = {name = ARGV[i], key = KEYS[k], first = i + 2, last = i + 1 + 2 * ARGV[i + 1]}
        i = day.last + 1
        keys[day.name] = day.key
        if day.last > day.first then counted[#counted + 1] = day end
    end
    for _, day in ipairs(counted) do
        if day.name < s.horizon then
            folds = true
        elseif not call('ZSCORE', KEYS[s.key], day.name) then
            news[#news + 1] = day.name
        end
    end
    local refusal = folds and look_at_stored_horizon(s) or look_at_horizon(s, news, keys)
    for _, day in ipairs(counted) do refusal = refusal or look_at_day(s, day) end
    if not refusal and #s.anomalies > 0 and types[s.key + 2] ~= 'none' then
        refusal = look_at_stream(KEYS[s.key + 2])
    end
    if refusal or s.folded == 0 then return refusal end
    local stored = call('HGET', KEYS[s.key + 1], OTHER)
    s.other = add(number_in(stored), s.folded)
    if not s.other then return {'odd', KEYS[s.key + 1], OTHER, stored} end
end

function days.write(s)
    local index, other, stream = KEYS[s.key], KEYS[s.key + 1], KEYS[s.key + 2]
    if #s.gone > 0 then call('HSET', KEYS[META], 'horizon', s.horizon) end
    for _, day in ipairs(s.gone) do
        call('DEL', day.key)
        call('ZREM', index, day.name)
    end
    for _, day in ipairs(s.kept) do
        call('HSET', day.key, unpack(day.words))
        call('EXPIRE', day.key, s.retention_s)
        call('ZADD', index, now_s + s.retention_s, day.name)
    end
    for _, anomaly in ipairs(s.anomalies) do
        call('XADD', stream, 'MAXLEN', '~', 10000, '*', 'kind', 'threshold', 'minute',
             anomaly.minute, 'count', anomaly.count, 'threshold', s.threshold)
        answer[3] = answer[3] + 1
        if answer[3] <= NAMED then
            answer[#answer + 1] = anomaly.minute
            answer[#answer + 1] = anomaly.count
        end
    end
    if answer[3] > 0 then remember() end
    if s.other then
        call('HSET', other, OTHER, s.other)
        call('EXPIRE', other, s.retention_s)
    end
    if s.key_count > 3 then call('ZREMRANGEBYSCORE', index, '-inf', now_s) end
end

kinds.days = days
