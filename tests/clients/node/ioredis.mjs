// ioredis: every call of the story, then pipelines, transactions, publishing, blocking and scanning.
import Redis from 'ioredis'
import { finish, sorted, tell } from './tell.mjs'

const port = Number(process.argv[2])
const redis = new Redis({ port, host: '127.0.0.1' })

const UNORDERED = new Set(['keys', 'hkeys', 'hvals', 'smembers', 'sinter', 'sunion', 'sdiff'])
const STORY = [
  ['flushall'], ['ping'], ['ping', 'hello'], ['echo', 'x'],
  ['set', 'k', 'v'], ['get', 'k'], ['set', 'k', 'w', 'NX'], ['set', 'k', 'w', 'XX', 'GET'], ['set', 't', '1', 'EX', 100], ['ttl', 't'],
  ['setex', 't', 100, 'x'], ['psetex', 't', 100000, 'y'], ['setnx', 't', 'z'], ['getset', 't', 'z'], ['getdel', 't'], ['getex', 'k', 'EX', 100],
  ['persist', 'k'], ['append', 'k', 'abc'], ['strlen', 'k'], ['getrange', 'k', 0, 1], ['setrange', 'k', 1, 'ZZ'], ['get', 'k'], ['mset', { a: 1, b: 2 }],
  ['mget', 'a', 'b', 'nokey'], ['msetnx', 'a', 1, 'c', 2], ['incr', 'n'], ['incrby', 'n', 5], ['decr', 'n'], ['decrby', 'n', 2],
  ['incrbyfloat', 'f', 0.1], ['incrbyfloat', 'f', 0.2], ['incr', 'k'], ['getBuffer', 'k'], ['exists', 'a', 'b', 'x'], ['del', 'a', 'x'],
  ['type', 'b'], ['type', 'x'], ['rename', 'b', 'bb'], ['rename', 'nokey', 'y'], ['renamenx', 'bb', 'n'], ['copy', 'bb', 'b'], ['expire', 'b', 100], ['pexpire', 'b', 100000],
  ['expireat', 'b', 9000000000], ['expiretime', 'b'], ['pexpiretime', 'b'], ['touch', 'b', 'x'], ['unlink', 'b'], ['keys', '*'], ['dbsize'],
  ['object', 'ENCODING', 'n'], ['move', 'bb', 3], ['swapdb', 0, 3], ['swapdb', 0, 3],
  ['rpush', 'l', 'a', 'b', 'c'], ['lpush', 'l', 'z'], ['lrange', 'l', 0, -1], ['llen', 'l'], ['lindex', 'l', 0], ['lset', 'l', 0, 'Z'], ['lset', 'l', 99, 'Z'],
  ['linsert', 'l', 'BEFORE', 'b', 'bb'], ['lrem', 'l', 0, 'bb'], ['lpos', 'l', 'b'], ['lpos', 'l', 'c', 'COUNT', 0], ['lpop', 'l'], ['rpop', 'l', 1], ['ltrim', 'l', 0, 0],
  ['lpushx', 'none', 1], ['rpushx', 'l', 1], ['lmove', 'l', 'm', 'LEFT', 'RIGHT'], ['rpoplpush', 'm', 'l'], ['lmpop', 1, 'l', 'LEFT', 'COUNT', 5], ['blpop', 'none', 0.01], ['rpush', 'l', 1, 2],
  ['blpop', 'none', 'l', 1], ['brpop', 'l', 1], ['blmove', 'none', 'l', 'LEFT', 'LEFT', 0.01], ['lpush', 'k', 1],
  ['hset', 'h', 'a', 1, 'b', 2], ['hset', 'h', { c: 3 }], ['hget', 'h', 'a'], ['hget', 'h', 'x'], ['hgetall', 'h'], ['hgetall', 'none'], ['hmget', 'h', 'a', 'x'], ['hmset', 'h', { d: 4 }],
  ['hlen', 'h'], ['hexists', 'h', 'a'], ['hstrlen', 'h', 'a'], ['hkeys', 'h'], ['hvals', 'h'], ['hincrby', 'h', 'a', 3], ['hincrbyfloat', 'h', 'a', 0.5], ['hsetnx', 'h', 'a', 9], ['hdel', 'h', 'a', 'x'],
  ['hscan', 'h', 0], ['hrandfield', 'none'], ['hincrby', 'h', 'b', 'x'],
  ['sadd', 's', 'a', 'b', 'c'], ['sadd', 's2', 'b', 'c', 'd'], ['smembers', 's'], ['scard', 's'], ['sismember', 's', 'a'], ['smismember', 's', 'a', 'x'], ['sinter', 's', 's2'], ['sunion', 's', 's2'],
  ['sdiff', 's', 's2'], ['sinterstore', 's3', 's', 's2'], ['sunionstore', 's3', 's', 's2'], ['sdiffstore', 's4', 's', 's2'], ['sintercard', 2, 's', 's2', 'LIMIT', 1], ['smove', 's', 's2', 'a'],
  ['srem', 's', 'b'], ['spop', 's'], ['spop', 's', 2], ['srandmember', 'none'], ['srandmember', 's4', 2], ['sscan', 's4', 0], ['sadd', 'k', 1],
  ['zadd', 'z', 1, 'a', 2.5, 'b', 3, 'c'], ['zadd', 'z', 'NX', 5, 'a'], ['zadd', 'z', 'XX', 'CH', 5, 'a'], ['zadd', 'z', 'INCR', 1, 'a'], ['zincrby', 'z', 0.5, 'b'], ['zscore', 'z', 'a'],
  ['zscore', 'z', 'x'], ['zmscore', 'z', 'a', 'x'], ['zcard', 'z'], ['zcount', 'z', '-inf', '(6'], ['zrank', 'z', 'a'], ['zrevrank', 'z', 'a'], ['zrank', 'z', 'x'], ['zrange', 'z', 0, -1],
  ['zrange', 'z', 0, -1, 'WITHSCORES'], ['zrange', 'z', 0, -1, 'REV'], ['zrange', 'z', 1, 9, 'BYSCORE', 'LIMIT', 0, 1], ['zrevrange', 'z', 0, 0], ['zrangebyscore', 'z', 1, 9, 'WITHSCORES'],
  ['zrevrangebyscore', 'z', 9, 1], ['zadd', 'x', 0, 'a', 0, 'b'], ['zrangebylex', 'x', '-', '+'], ['zrevrangebylex', 'x', '+', '-'], ['zlexcount', 'x', '[a', '[a'], ['zrangestore', 'y', 'z', 0, 1],
  ['zunion', 2, 'z', 'x', 'WITHSCORES'], ['zinter', 2, 'z', 'x'], ['zdiff', 2, 'z', 'x'], ['zunionstore', 'u', 2, 'z', 'x', 'WEIGHTS', 2, 1], ['zinterstore', 'u', 2, 'z', 'x'], ['zdiffstore', 'u', 2, 'z', 'x'],
  ['zintercard', 2, 'z', 'x'], ['zpopmin', 'z'], ['zpopmax', 'z', 2], ['zmpop', 1, 'x', 'MIN'], ['bzpopmin', 'none', 'x', 1], ['bzpopmax', 'none', 0.01], ['zremrangebyrank', 'y', 0, 0],
  ['zremrangebyscore', 'u', 0, 100], ['zremrangebylex', 'u', '-', '+'], ['zrandmember', 'none'], ['zscan', 'y', 0], ['zrem', 'y', 'a', 'b', 'c'], ['zadd', 'k', 1, 'a'],
  ['config', 'GET', 'maxmemory-policy'], ['client', 'SETNAME', 'story'], ['client', 'GETNAME'], ['publish', 'nobody', 'x'], ['call', 'NOSUCH', 'x'], ['call', 'GET']
]

for (const [method, ...args] of STORY) {
  const run = () => redis[method](...args)
  await tell(`${method} ${JSON.stringify(args)}`, UNORDERED.has(method) ? sorted(run) : run)
}

await tell('pipeline', () => redis.pipeline().set('a', 1).incr('a').lpush('a', 1).get('a').exec())
await tell('multi', () => redis.multi().set('a', 1).incr('a').hset('h2', 'x', 1).zadd('z2', 1, 'm').exec())
await tell('multi refused', () => redis.multi().set('a').exec())
await tell('watch', async () => {
  await redis.watch('a')
  const other = redis.duplicate()
  await other.incr('a')
  other.disconnect()
  return redis.multi().incr('a').exec()
})

const subscriber = redis.duplicate()
const heard = []
let wanted = 3
const all = new Promise(resolve => {
  const hear = (...words) => { heard.push(words); if (heard.length === wanted) resolve() }
  subscriber.on('message', (channel, text) => hear('message', channel, text))
  subscriber.on('pmessage', (pattern, channel, text) => hear('pmessage', pattern, channel, text))
})
await tell('subscribe', () => subscriber.subscribe('a', 'b'))
await tell('psubscribe', () => subscriber.psubscribe('n.*'))
await tell('publish', () => Promise.all([redis.publish('a', '1'), redis.publish('n.x', '2'), redis.publish('b', '3')]))
await all
await tell('heard', async () => heard)
await tell('unsubscribe', () => subscriber.unsubscribe('a'))
await tell('quit', () => subscriber.quit())

const waiting = redis.duplicate()
const popped = waiting.blpop('later', 0)
const zpopped = redis.duplicate()
const low = zpopped.bzpopmin('zlater', 0)
await redis.rpush('later', 'x')
await redis.zadd('zlater', 1.5, 'm')
await tell('blpop later', () => popped)
await tell('bzpopmin later', () => low)

await redis.flushdb()
for (let number = 0; number < 300; number++) redis.set(`key:${number}`, number)
await tell('scan', async () => {
  const found = new Set()
  for await (const keys of redis.scanStream({ match: 'key:*', count: 17 })) keys.forEach(key => found.add(key))
  return [...found].sort()
})
finish()
