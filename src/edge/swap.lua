-- Puts rebuilt counts in the place of the live ones, all at once, or does nothing.
--
-- KEYS     live offsets, live meta, rebuilt offsets, rebuilt meta; the live and the rebuilt sorted
--          set of days; then for each name two keys, where it is and where it goes, and no name twice
-- ARGV     1 if the rebuilt counts must have come as far as the live ones, else 0; the live number of
--          checkpoints before the names were looked for; what the key of a day's hash has before the
--          day, live and rebuilt; name of the rebuild; the number of live names
-- Returns  {'swapped', number of keys}             0 if an earlier call had done it
--          {'taken'}                               the rebuilt counts are gone, or are another's
--          {'before', key}                         the counts before an earlier swap are there yet
--          {'behind', partition, offset, rebuilt}  of the first partition that is not as far
--          {'again', key}                          a key that was not declared may be there by now
--          {'foreign', field, theirs, ours}        the two are not of one group and topic
--          {'torn', checkpoints}                   the rebuilt counts are not whole
--          {'denied', command, key}                the user lacks this right (known since Redis 7)
--          All but 'swapped' leave Redis unchanged.
local call = redis.call
local must_be_as_far, checkpoints = ARGV[1] == '1', ARGV[2]
local before_day, rebuild, live_count = {ARGV[3], ARGV[4]}, ARGV[5], tonumber(ARGV[6])
local FIRST_KEY, PIECE = 6, 1000 -- keys that one command names
local name_count = (#KEYS - FIRST_KEY) / 2

local function from_of(i) return KEYS[FIRST_KEY + 2 * i - 1] end

local function to_of(i) return KEYS[FIRST_KEY + 2 * i] end

-- Whether each of the keys of the names first, .. last exists.
local function which_exist(key_of, first, last)
    local exists = {}
    for from = first, last, PIECE do
        local keys, to = {}, math.min(from + PIECE - 1, last)
        for i = from, to do keys[#keys + 1] = key_of(i) end
        local count = call('EXISTS', unpack(keys))
        for i = from, to do
            exists[i] = count == #keys or (count > 0 and call('EXISTS', key_of(i)) == 1)
        end
    end
    return exists
end

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
local is_declared = {}
for i = 1, name_count do is_declared[from_of(i)] = true end
for side = 1, 2 do
    for _, day in ipairs(call('ZRANGE', KEYS[4 + side], 0, -1)) do
        local key = before_day[side] .. day
        if not is_declared[key] then return {'again', key} end
    end
end
-- A user's selectors may allow a command for some keys only, and half of them must not be moved.
for i = 1, redis.acl_check_cmd and name_count or 0 do
    if not redis.acl_check_cmd('rename', from_of(i), to_of(i)) then
        return {'denied', 'rename', from_of(i)}
    end
end
local exists = which_exist(from_of, 1, name_count)
for i, is_there in pairs(which_exist(to_of, 1, live_count)) do -- RENAME would overwrite them
    if is_there then return {'before', to_of(i)} end
end
local moved = 0
for i = 1, name_count do
    if exists[i] then
        call('RENAME', from_of(i), to_of(i))
        moved = moved + 1
    end
end
return {'swapped', moved}
