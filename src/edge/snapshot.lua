-- All counts at one moment.
--
-- KEYS  rejected_counts, login_days, a sorted set for each dimension
-- ARGV  the prefix of the days' hashes
-- Says  {{reason, records, ...}, {day, {HH:MM, logins, ...}, ...}, {value, logins, ...} for each dimension}
--       days that have no hash of their own come last: '', {'__other__', logins}
local days = {}
local names = redis.call('ZRANGE', KEYS[2], 0, -1)
table.sort(names)
for _, day in ipairs(names) do
    local minutes = redis.call('HGETALL', ARGV[1] .. day)
    if #minutes > 0 then
        days[#days + 1] = day
        days[#days + 1] = minutes
    end
end
local others = redis.call('HGETALL', ARGV[1] .. '__other__')
if #others > 0 then
    days[#days + 1] = ''
    days[#days + 1] = others
end
local answer = {redis.call('HGETALL', KEYS[1]), days}
for i = 3, #KEYS do
    answer[#answer + 1] = redis.call('ZREVRANGE', KEYS[i], 0, -1, 'WITHSCORES')
end
return answer
