#!lua name=holdfast_jobs_1
-- Ready ids, fair between tenants. Ids only: whoever takes one claims the job in PostgreSQL.
--
--   <prefix>:ready:<lane>:<tenant>  sorted set of ids; score = priority x 1e13 + ms
--   <prefix>:rr:<lane>              sorted set of tenants with ready ids; score = time used
--   <prefix>:used:<lane>            hash of the time used by tenants that have nothing ready
--   <prefix>:wake                   list with one item while work may remain
--   <prefix>:complete               set once all pending jobs were pushed; gone after a flush

-- A new tenant enters at the current minimum: at 0 it would starve the others until it caught up.
local function enter(prefix, lane, tenant)
    local rr = prefix .. ':rr:' .. lane
    if redis.call('ZSCORE', rr, tenant) then
        return
    end
    local first = redis.call('ZRANGE', rr, 0, 0, 'WITHSCORES')
    local least = tonumber(first[2] or '0')
    local used = tonumber(redis.call('HGET', prefix .. ':used:' .. lane, tenant) or '0')
    redis.call('ZADD', rr, string.format('%.6f', math.max(least, used)), tenant)
end

local function leave(prefix, lane, tenant)
    local rr = prefix .. ':rr:' .. lane
    local score = redis.call('ZSCORE', rr, tenant)
    if score then
        redis.call('HSET', prefix .. ':used:' .. lane, tenant, score)
        redis.call('EXPIRE', prefix .. ':used:' .. lane, 3600)
        redis.call('ZREM', rr, tenant)
    end
end

local function arm(prefix)
    if redis.call('LLEN', prefix .. ':wake') == 0 then
        redis.call('LPUSH', prefix .. ':wake', '1')
    end
end

-- keys: prefix; args: (lane, tenant, id, score) ...
local function push(keys, args)
    local prefix = keys[1]
    for i = 1, #args, 4 do
        local lane, tenant = args[i], args[i + 1]
        redis.call('ZADD', prefix .. ':ready:' .. lane .. ':' .. tenant, args[i + 3], args[i + 2])
        enter(prefix, lane, tenant)
    end
    if #args > 0 then
        arm(prefix)
    end
    return #args / 4
end

-- The next tenant in turn that is not to be skipped.
local function turn(prefix, lane, skip)
    local rr = prefix .. ':rr:' .. lane
    local from = 0
    while true do
        local some = redis.call('ZRANGE', rr, from, from + 49)
        if #some == 0 then
            return nil
        end
        for _, tenant in ipairs(some) do
            if not skip[tenant] then
                return tenant
            end
        end
        from = from + 50
    end
end

-- One id of a lane, or nothing. A claim is charged one second at once; what the job really used is
-- charged when it has run.
local function take(prefix, lane, skip)
    while true do
        local tenant = turn(prefix, lane, skip)
        if not tenant then
            return nil
        end
        local ready = prefix .. ':ready:' .. lane .. ':' .. tenant
        local popped = redis.call('ZPOPMIN', ready)
        if redis.call('ZCARD', ready) == 0 then
            if popped[1] then
                redis.call('ZINCRBY', prefix .. ':rr:' .. lane, 1, tenant)
            end
            leave(prefix, lane, tenant)
        else
            redis.call('ZINCRBY', prefix .. ':rr:' .. lane, 1, tenant)
        end
        if popped[1] then
            return tenant, popped[1]
        end
    end
end

-- keys: prefix; args: number of tenants to skip, these, then (lane, count) ...
-- returns {is_complete, lane, tenant, id, lane, tenant, id, ...}
local function claim(keys, args)
    local prefix, skip, skips = keys[1], {}, tonumber(args[1])
    local found = {redis.call('EXISTS', prefix .. ':complete')}
    local remains = false
    for i = 2, 1 + skips do
        skip[args[i]] = true
    end
    for i = 2 + skips, #args, 2 do
        local lane = args[i]
        for _ = 1, tonumber(args[i + 1]) do
            local tenant, id = take(prefix, lane, skip)
            if not tenant then
                break
            end
            found[#found + 1] = lane
            found[#found + 1] = tenant
            found[#found + 1] = id
        end
        remains = remains or turn(prefix, lane, skip) ~= nil
    end
    if remains then
        arm(prefix)
    end
    return found
end

-- keys: prefix; args: lane, tenant, seconds (the claim's one second is given back)
local function charge(keys, args)
    local prefix, lane, tenant = keys[1], args[1], args[2]
    local rr = prefix .. ':rr:' .. lane
    local used = prefix .. ':used:' .. lane
    local more = tonumber(args[3]) - 1
    if redis.call('ZSCORE', rr, tenant) then
        redis.call('ZINCRBY', rr, more, tenant)
    elseif redis.call('HEXISTS', used, tenant) == 1 then
        redis.call('HINCRBYFLOAT', used, tenant, more)
    end
    return 1
end

local function depth(keys)
    local total = 0
    local lanes = redis.call('KEYS', keys[1] .. ':ready:*')
    for _, ready in ipairs(lanes) do
        total = total + redis.call('ZCARD', ready)
    end
    return total
end

local function complete(keys)
    redis.call('SET', keys[1] .. ':complete', '1')
    return 1
end

redis.register_function('hf_push_1', push)
redis.register_function('hf_claim_1', claim)
redis.register_function('hf_charge_1', charge)
redis.register_function('hf_depth_1', depth)
redis.register_function('hf_complete_1', complete)
