-- What is told to a running worker: `commands:<consumer>`, a list that it reads with its next take; a push on its channel
-- makes that soon. The switch `commands` counts all that wait in the shard.

function sq.command(c, consumer, text)
  redis.call('RPUSH', c.anchor .. ':commands:' .. consumer, text)
  sq.switch(c, 'commands', 1)
  sq.publish(c, consumer, 'command')
end

function sq.has_commands(c, consumer)
  return c.commands > 0 and redis.call('EXISTS', c.anchor .. ':commands:' .. consumer) == 1
end

-- All of a consumer's commands, taken off the list.
function sq.drop_commands(c, consumer)
  if c.commands == 0 then return {} end
  local key = c.anchor .. ':commands:' .. consumer
  local texts = redis.call('LRANGE', key, 0, -1)
  if #texts > 0 then
    redis.call('UNLINK', key)
    sq.switch(c, 'commands', -#texts)
  end
  return texts
end
