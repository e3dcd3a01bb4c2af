-- Makes the keys of rebuilt counts those of one rebuild, and deletes what others left there, but
-- nothing any more once another rebuild has them.
--
-- KEYS     rebuilt meta; then those to delete, of which meta is left out
-- ARGV     name of the rebuild; what to do:
--          claim: the keys become its own. It drops meta, so from then on every checkpoint and swap
--                 of another rebuild is refused
--          delete: what the keys name, while they are its own
--          release: the keys are nobody's any more, unless they are another rebuild's
-- Returns  the number of deleted keys, or {'taken'} if those to delete are not this rebuild's
local call = redis.call
local rebuild, act = ARGV[1], ARGV[2]
local deleted = 0
if act ~= 'claim' and call('HGET', KEYS[1], 'rebuild') ~= rebuild then
    return act == 'delete' and {'taken'} or 0
end
if act ~= 'delete' then deleted = call('UNLINK', KEYS[1]) end
if act == 'claim' then call('HSET', KEYS[1], 'rebuild', rebuild) end
for i = 2, #KEYS do
    if KEYS[i] ~= KEYS[1] then deleted = deleted + call('UNLINK', KEYS[i]) end
end
return deleted
