-- What the user may do, as far as Redis says (since 7); a part of checkpoint.lua.
--
-- A right that is missing between two writes would leave half of them. A user's selectors may allow
-- a command for some keys only: so each one is asked for with each key that it may write to. A call
-- without keys of days or buckets asks for what they need with the first key of the section, so that
-- a missing right is known from the start.
--
-- A read without its right ends the script before the first write, so those rights are looked at
-- only at start, by a call that adds nothing, and with the first key.

-- What follows the key: Redis 8 rejects a question with too few arguments or too many.
local examples = {
    hget = {'f'}, hmget = {'f'}, hset = {'f', 'v'}, hincrby = {'f', '1'}, zrange = {'0', '-1'},
    zscore = {'m'}, zmscore = {'m'}, zincrby = {'1', 'm'}, zadd = {'1', 'm'}, zrem = {'m'},
    zremrangebyscore = {'-inf', '1'}, zrangebyscore = {'-inf', '1'}, hdel = {'f'}, expire = {'1'},
    xadd = {'*', 'f', 'v'}, getrange = {'0', '4'}, set = {'v'},
}
local nothing = {}

local function is_allowed(command, key, place)
    if command == 'pfmerge' then return redis.acl_check_cmd(command, key, place) end
    if command == 'xinfo' then return redis.acl_check_cmd(command, 'stream', key) end
    return redis.acl_check_cmd(command, key, unpack(examples[command] or nothing))
end

-- An answer, if a command may not be called with the key. place: the key that PFMERGE reads.
local function look_at_rights(commands, key, place)
    for _, command in ipairs(redis.acl_check_cmd and commands or nothing) do
        if not is_allowed(command, key, place) then return {'denied', command, key} end
    end
end

local function look_at_rights_of(s)
    local writes, first, place = s.kind.writes, KEYS[s.key], KEYS[s.key + 2]
    for i = 1, s.key_count do
        local commands = writes[math.min(i, #writes)] or nothing
        local refusal = look_at_rights(commands, KEYS[s.key + i - 1], place)
        if refusal then return refusal end
    end
    if s.key_count < #writes then
        for _, commands in pairs(writes) do
            local refusal = look_at_rights(commands or nothing, first, place)
            if refusal then return refusal end
        end
    end
    return base == 'unknown' and look_at_rights(s.kind.reads, first, place)
end
