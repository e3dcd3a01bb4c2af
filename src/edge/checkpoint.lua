-- One checkpoint of one partition: moves its offset from base to goal and adds the counts, or does
-- nothing. Everything that can fail because of what is stored, or of a right that is missing, is
-- looked at before the first write. No key is touched that is not in KEYS.
--
-- KEYS     offsets, meta, lineages, then the keys of each section
-- ARGV     partition, base (an offset, 'none', or 'unknown': never equal), goal, schema, group,
--          topic, topic id ('' if not known), tip of base, lineage of goal, our rules ('' if not
--          known), those that may be stored instead, 1 if ours are to replace them, instance, other
--          partitions that this call verifies (of each, behind a blank: partition, offset, tip;
--          only if base is goal), name of the rebuild that these keys must be of ('' if live),
--          offset at which the group began ('' if not known), then the sections: kind, number of
--          keys, number of arguments, and the arguments
-- Returns  {'stored', offset, n, minute, count, ...}  the offset equals goal now; the number of new
--                                                  anomalies, and the first of them
--          {'kept', offset | 'none', lineage, origin}  the offset, or its lineage, was another one;
--                                                  'none' too if the keys are another rebuild's;
--                                                  where the group began ('' if not known)
--          {'apart'}                               another partition is not as told: ask for each
--          {'need', day, ...}                      call again, with the keys of these days too
--          {'foreign', field, theirs}              another group, topic or schema has the prefix
--          {'rules', theirs}                       the counts were made under these
--          {'partial', key}                        this key is gone while its sister is there
--          {'wrongtype', key, type}
--          {'odd', key, field, value}              nothing that a checkpoint writes
--          {'denied', command, key}                the user lacks this right (known since Redis 7)
--          {'torn'}                                half of a checkpoint was applied, or one twice
--          All but 'stored' leave Redis unchanged.
--
-- The number of checkpoints is kept twice in meta. The first write increments `checkpoints`, the
-- last one sets `seal` to the result. They differ
-- - if a script stopped between the two, for whatever reason;
-- - if Redis replayed the head of a script. Redis that starts from an append-only file that was cut
--   within a script's writes drops them, but leaves them in the file; its next start runs them
--   together with what follows. By then `checkpoints` is incremented once more than when the
--   following seals were computed, and no later checkpoint makes the two equal.
local OFFSETS, META, LINEAGES, FIRST_SECTION = 1, 2, 3, 17
local NAMED = 64 -- anomalies in an answer
local PIECE = 1000 -- values that one command reads or writes
local OTHER = '__other__'
local LARGEST = 2 ^ 52 -- Lua and sorted sets are exact up to it, and Redis writes all its digits
local partition, base, goal = ARGV[1], ARGV[2], ARGV[3]
local base_tip, goal_lineage = ARGV[8], ARGV[9]
local our_rules, instance, rebuild, origin = ARGV[10], ARGV[13], ARGV[15], ARGV[16]

local ORIGIN = 'origin:' .. partition -- a field of meta

local call = redis.call
if redis.replicate_commands then redis.replicate_commands() end -- for TIME, before Redis 7
local now_s = tonumber(call('TIME')[1])
local types, meta = {}, {} -- of all keys; the fields of meta
local answer = {'stored', goal, 0}

-- A stored number (nil if it is none) and n. Nil if that is not whole, or too large.
local function add(stored, n)
    local sum = stored and stored + n
    return sum and sum % 1 == 0 and math.abs(sum) <= LARGEST and sum or nil
end

-- The number in a field of a hash; 0 if there is no such field. Nil if it is written otherwise than
-- Redis does: Lua reads 0x10, 1e3 and 007, too, and HINCRBY fails on them.
local function number_in(text)
    if not text or text == '0' then return 0 end
    return string.find(text, '^-?[1-9]%d*$') and tonumber(text)
end

-- Whether a number in a text has zeros before it. Texts are compared, so no call would match it.
local function has_zeros(text) return string.find(text, '%f[%d]0%d') end

local function is_offset(text)
    return #text <= 18 and string.find(text, '^%d+$') and not has_zeros(text)
end

local function is_day(text) return string.find(text, '^%d%d%d%d%-%d%d%-%d%d$') end

-- Collects what HSET needs to add ARGV[first], .. ARGV[last], pairs of field and count, to a hash.
-- There are at most 1,440 fields, which fit on Lua's stack. Calls seen(field, before, after) for
-- each.
local function look_at_hash(words, key, first, last, seen)
    local fields = {}
    for i = first, last, 2 do fields[#fields + 1] = ARGV[i] end
    local stored = #fields > 0 and call('HMGET', key, unpack(fields)) or {}
    for i, field in ipairs(fields) do
        local n = tonumber(ARGV[first + 2 * i - 1])
        local sum = add(number_in(stored[i]), n)
        if not sum then return {'odd', key, field, stored[i]} end
        words[2 * i - 1], words[2 * i] = field, sum
        if seen then seen(field, sum - n, sum) end
    end
end

-- Each kind of section names for each of its keys the type, and the commands that write() calls with
-- it (the last one is for all further keys; false leaves them to look()); and the commands that
-- look() calls. look() may end the script by returning an answer.
-- write() cannot fail. A section s has its first key, the number of its keys, and its first and last
-- argument.

-- What a call found goes lost with its answer, if the connection breaks: so it is kept, for the same
-- call when it is sent again. Only the last call of a partition with anomalies is.
local function call_id()
    local words = {base, goal, base_tip, goal_lineage, instance}
    return redis.sha1hex(table.concat(words, '\n'))
end

local function remember()
    local words = {call_id()}
    for i = 3, #answer do words[i - 1] = tostring(answer[i]) end
    call('HSET', KEYS[META], 'anomalies:' .. partition, table.concat(words, ','))
end

-- The answer that this call had when it was applied, or nil.
local function remembered(text)
    local words = {}
    for word in string.gmatch(text or '', '[^,]+') do words[#words + 1] = word end
    if words[1] ~= call_id() then return end
    answer[3] = tonumber(words[2]) or 0
    for i = 3, #words - 1, 2 do
        answer[i + 1], answer[i + 2] = words[i], tonumber(words[i + 1]) or 0
    end
    return answer
end

-- What tells a lineage from every other one of the same offset, as core/lineage has it: the branch,
-- and the last record with its epoch. Nil if the text is not a lineage.
local function tip_of(lineage)
    local branch = string.match(lineage, '^(%d+:)$')
    if branch then return branch end
    local last, epoch
    branch, last, epoch = string.match(lineage, '^(%d+:)(%d+:)[%d@,]-(%d+)@%d+$')
    return branch and branch .. last .. epoch
end

-- A lineage names the offset that it belongs to: a rollcall that knows of none leaves it behind.
local function lineage_at(offset, stored)
    local of, lineage = string.match(stored, '^(%d+) (.*)$')
    return of == offset and lineage or '0:'
end

-- Whether the other partitions are stored as this call has them.
local function are_others_as_told()
    local partitions, offsets, tips = {}, {}, {}
    for other, offset, tip in string.gmatch(ARGV[14], ' (%d+) (%d+) (%S+)') do
        local i = #partitions + 1
        partitions[i], offsets[i], tips[i] = other, offset, tip
    end
    if #partitions == 0 then return true end
    local stored = call('HMGET', KEYS[OFFSETS], unpack(partitions))
    local lineages = call('HMGET', KEYS[LINEAGES], unpack(partitions))
    for i, tip in ipairs(tips) do
        local found = tip_of(lineage_at(stored[i], lineages[i] or ''))
        if stored[i] ~= offsets[i] or found ~= tip then return false end
    end
    return true
end

-- Keys: offsets, meta, lineages.
local head = {types = {'hash'}, reads = {'hget', 'hmget'},
              writes = {{'hset'}, {'hset', 'hincrby'}, {'hset'}}}

-- Counts from before there were rules get those under which they are continued.
local function put_rules()
    if our_rules == '' or meta.rules == our_rules then return end
    if meta.rules and ARGV[12] ~= '1' then return end
    call('HSET', KEYS[META], 'rules', our_rules)
end

function head.look()
    local fields = {'schema', 'group', 'topic', 'topic_id', 'checkpoints', 'seal', 'horizon',
                    'rules', 'anomalies:' .. partition, 'rebuild', ORIGIN}
    local found = call('HMGET', KEYS[META], unpack(fields))
    for i, field in ipairs(fields) do
        local theirs, ours = found[i], i <= 4 and ARGV[3 + i] or ''
        meta[field] = theirs
        if theirs and ours ~= '' and theirs ~= '' and theirs ~= ours then
            return {'foreign', field, theirs}
        end
    end
    if rebuild ~= '' and meta.rebuild ~= rebuild then return {'kept', 'none', '0:', ''} end
    local stored = call('HGET', KEYS[OFFSETS], partition)
    if stored and not meta.schema then return {'partial', KEYS[META]} end
    if meta.schema and types[OFFSETS] == 'none' then return {'partial', KEYS[OFFSETS]} end
    if stored and not is_offset(stored) then return {'odd', KEYS[OFFSETS], partition, stored} end
    if meta[ORIGIN] and not is_offset(meta[ORIGIN]) then
        return {'odd', KEYS[META], ORIGIN, meta[ORIGIN]}
    end
    local lineage = call('HGET', KEYS[LINEAGES], partition) or ''
    local is_good = tip_of(string.match(lineage, '^%d+ (.*)$') or '') and not has_zeros(lineage)
    if lineage ~= '' and not is_good then
        return {'odd', KEYS[LINEAGES], partition, lineage}
    end
    if meta.horizon and not is_day(meta.horizon) then
        return {'odd', KEYS[META], 'horizon', meta.horizon}
    end
    lineage = lineage_at(stored, lineage)
    if meta.rules and our_rules ~= '' and meta.rules ~= our_rules and meta.rules ~= ARGV[11] then
        return {'rules', meta.rules}
    end
    if meta.checkpoints ~= meta.seal then return {'torn'} end
    if not add(number_in(meta.checkpoints), 1) then
        return {'odd', KEYS[META], 'checkpoints', meta.checkpoints}
    end
    local tip, goal_tip = tip_of(lineage), tip_of(goal_lineage)
    local is_goal = stored == goal and tip == goal_tip
    local is_move = base ~= goal or base_tip ~= goal_tip
    local again = is_goal and is_move and remembered(meta[fields[9]])
    if again then return again end
    if (stored or 'none') ~= base or tip ~= base_tip then
        return {'kept', stored or 'none', lineage, meta[ORIGIN] or ''}
    end
    if not is_move then
        if not are_others_as_told() then return {'apart'} end
        if meta.schema then put_rules() end
        return answer
    end
end

function head.write()
    meta.checkpoints = call('HINCRBY', KEYS[META], 'checkpoints', 1)
    if not meta.schema or ((meta.topic_id or '') == '' and ARGV[7] ~= '') then
        call('HSET', KEYS[META], 'schema', ARGV[4], 'group', ARGV[5], 'topic', ARGV[6], 'topic_id',
             ARGV[7])
    end
    put_rules()
    if origin ~= '' and meta[ORIGIN] ~= origin then
        call('HSET', KEYS[META], ORIGIN, origin)
    end
    call('HSET', KEYS[OFFSETS], partition, goal)
    call('HSET', KEYS[LINEAGES], partition, goal .. ' ' .. goal_lineage)
end

-- Key: a sorted set. Arguments: max_values, then pairs of value and count.
local values = {types = {'zset'}, reads = {'zrange', 'zcard', 'zscore'},
                writes = {{'zmscore', 'zadd', 'zincrby'}}}

-- For how many new values a sorted set has room, OTHER not counted; or an answer, if it cannot take
-- a sum.
local function look_at_values(key, max_values, sum)
    for rank = -1, 0 do -- the largest one and the smallest one
        local found = call('ZRANGE', key, rank, rank, 'WITHSCORES')
        if found[1] and not add(tonumber(found[2]), sum) then
            return nil, {'odd', key, found[1], found[2]}
        end
    end
    local room = max_values - call('ZCARD', key)
    return call('ZSCORE', key, OTHER) and room + 1 or room
end

-- Adds ARGV[first], .. ARGV[last], pairs of value and count, as many at once as fit on Lua's stack.
-- Returns what room is left.
local function write_values(key, room, first, last)
    local folded = 0
    for from = first, last, 2 * PIECE do
        local values, words, to = {}, {}, math.min(from + 2 * PIECE - 1, last)
        for i = from, to, 2 do values[#values + 1] = ARGV[i] end
        for i, stored in ipairs(call('ZMSCORE', key, unpack(values))) do
            local value, n = values[i], tonumber(ARGV[from + 2 * i - 1])
            if value == OTHER or (not stored and room <= 0) then
                folded = folded + n
            else
                if not stored then room = room - 1 end
                words[#words + 1], words[#words + 2] = n + (stored or 0), value
            end
        end
        if words[1] then call('ZADD', key, unpack(words)) end
    end
    if folded > 0 then call('ZINCRBY', key, folded, OTHER) end
    return room
end

function values.look(s)
    local sum, refusal = 0, nil
    for i = s.first + 2, s.last, 2 do sum = sum + ARGV[i] end
    if sum > 0 then s.room, refusal = look_at_values(KEYS[s.key], ARGV[s.first], sum) end
    return refusal
end

function values.write(s) write_values(KEYS[s.key], s.room, s.first + 1, s.last) end

-- Key: a hash. Arguments: pairs of name and count.
local names = {types = {'hash'}, reads = {'hmget'}, writes = {{'hset'}}}

function names.look(s)
    s.words = {}
    return look_at_hash(s.words, KEYS[s.key], s.first, s.last)
end

function names.write(s)
    if s.words[1] then call('HSET', KEYS[s.key], unpack(s.words)) end
end

local kinds = {values = values, names = names}

--include rights.lua
--include days.lua
--include declared.lua
--include distinct.lua

local sections = {{kind = head, key = 1, key_count = 3, last = FIRST_SECTION - 1}}
while sections[#sections].last < #ARGV do
    local before = sections[#sections]
    local i = before.last + 1
    sections[#sections + 1] = {kind = kinds[ARGV[i]], key = before.key + before.key_count,
                               key_count = tonumber(ARGV[i + 1]), first = i + 3,
                               last = i + 2 + tonumber(ARGV[i + 2])}
end

for _, s in ipairs(sections) do
    for i = 1, s.key_count do
        local key, wanted = s.key + i - 1, s.kind.types[math.min(i, #s.kind.types)]
        types[key] = call('TYPE', KEYS[key]).ok
        if wanted and types[key] ~= 'none' and types[key] ~= wanted then
            return {'wrongtype', KEYS[key], types[key]}
        end
    end
end
for _, s in ipairs(sections) do
    local refusal = look_at_rights_of(s)
    if refusal then return refusal end
end
for _, s in ipairs(sections) do
    local refusal = s.kind.look(s)
    if refusal then return refusal end
end
for _, s in ipairs(sections) do s.kind.write(s) end
call('HSET', KEYS[META], 'seal', meta.checkpoints)
return answer
