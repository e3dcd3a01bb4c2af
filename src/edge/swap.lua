-- Puts rebuilt counts in the place of the live ones, all at once, or does nothing.
--
-- KEYS     live offsets, live meta, rebuilt offsets, rebuilt meta; the live and the rebuilt sorted
--          set of days; then for each name two keys: where it is, and where it goes
-- ARGV     1 if the rebuilt counts must have come as far as the live ones, else 0; the live number of
--          checkpoints before the names were looked for; what the key of a day's hash has before the
--          day; name of the rebuild; the number of live names; the names
-- Returns  {'swapped', number of keys}             0 if an earlier call had done it
--          {'taken'}                               the rebuilt counts are gone, or are another's
--          {'before', key}                         the counts before an earlier swap are there yet
--          {'behind', partition, offset, rebuilt}  of the first partition that is not as far
--          {'again', name}                         a key that was not declared may be there by now
--          {'foreign', field, theirs, ours}        the two are not of one group and topic
--          {'torn', checkpoints}                   the rebuilt counts are not whole
--          {'denied', command, key}                the user lacks this right (known since Redis 7)
--          All but 'swapped' leave Redis unchanged.
local call = redis.call
local must_be_as_far, checkpoints = ARGV[1] == '1', ARGV[2]
local before_day, rebuild, live_count = ARGV[3], ARGV[4], tonumber(ARGV[5])
local FIRST_KEY, FIRST_NAME = 6, 5

local function pairs_of(key)
    local found, map = call('HGETALL', key), {}
    for i = 1, #found, 2 do map[found[i]] = found[i + 1] end
    return map
end

local live, rebuilt = pairs_of(KEYS[2]), pairs_of(KEYS[4])
if rebuilt.rebuild ~= rebuild then
    return live.rebuild == rebuild and {'swapped', 0} or {'taken'}
end
if rebuilt.checkpoints == nil or rebuilt.checkpoints ~= rebuilt.seal then
    return {'torn', rebuilt.checkpoints or '0'}
end
for _, field in ipairs({'schema', 'group', 'topic', 'topic_id'}) do
    local theirs, ours = live[field] or '', rebuilt[field] or ''
    if theirs ~= '' and ours ~= '' and theirs ~= ours then
        return {'foreign', field, theirs, ours}
    end
end
if must_be_as_far then
    local offsets = pairs_of(KEYS[3])
    for partition, offset in pairs(pairs_of(KEYS[1])) do
        if tonumber(offsets[partition] or -1) < tonumber(offset) then
            return {'behind', partition, offset, offsets[partition] or 'none'}
        end
    end
elseif (live.checkpoints or '') ~= checkpoints then
    -- A key that is new since then would stay, and the live counts count it once more. Where the
    -- rebuilt counts are as far they have the same key, which replaces it.
    return {'again', KEYS[2]}
end
for side = 0, 1 do
    local is_declared = {}
    local first = side == 0 and 1 or live_count + 1
    local last = side == 0 and live_count or #ARGV - FIRST_NAME
    for i = first, last do is_declared[ARGV[FIRST_NAME + i]] = true end
    for _, day in ipairs(call('ZRANGE', KEYS[5 + side], 0, -1)) do
        if not is_declared[before_day .. day] then return {'again', before_day .. day} end
    end
end
-- A user's selectors may allow a command for some keys only, and half of them must not be moved.
for i = FIRST_KEY + 1, redis.acl_check_cmd and #KEYS or 0, 2 do
    local from, to = KEYS[i], KEYS[i + 1]
    if not redis.acl_check_cmd('exists', from) then return {'denied', 'exists', from} end
    if not redis.acl_check_cmd('rename', from, to) then return {'denied', 'rename', from} end
end
for i = 1, live_count do -- RENAME would overwrite them
    local to = KEYS[FIRST_KEY + 2 * i]
    if call('EXISTS', to) == 1 then return {'before', to} end
end
local moved = 0
for i = 1, #ARGV - FIRST_NAME do
    local from, to = KEYS[FIRST_KEY + 2 * i - 1], KEYS[FIRST_KEY + 2 * i]
    if call('EXISTS', from) == 1 then
        call('RENAME', from, to)
        moved = moved + 1
    end
end
return {'swapped', moved}
