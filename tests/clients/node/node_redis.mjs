// node-redis: its own methods, in RESP2 or RESP3 (second argument).
import { createClient } from 'redis'
import { finish, sorted, tell } from './tell.mjs'

const port = Number(process.argv[2])
const RESP = Number(process.argv[3])
const open = async () => createClient({ socket: { port, host: '127.0.0.1' }, RESP }).on('error', () => {}).connect()
const redis = await open()

const UNORDERED = new Set(['keys', 'hKeys', 'hVals', 'sMembers', 'sInter', 'sUnion', 'sDiff'])
const STORY = [
  ['flushAll'], ['ping'], ['echo', 'x'],
  ['set', 'k', 'v'], ['get', 'k'], ['set', 'k', 'w', { NX: true }], ['set', 'k', 'w', { XX: true, GET: true }], ['set', 't', '1', { EX: 100 }], ['ttl', 't'], ['setEx', 't', 100, 'x'],
  ['pSetEx', 't', 100000, 'y'], ['setNX', 't', 'z'], ['getSet', 't', 'z'], ['getDel', 't'], ['getEx', 'k', { EX: 100 }], ['persist', 'k'], ['append', 'k', 'abc'], ['strLen', 'k'], ['getRange', 'k', 0, 1],
  ['setRange', 'k', 1, 'ZZ'], ['get', 'k'], ['mSet', { a: '1', b: '2' }], ['mGet', ['a', 'b', 'nokey']], ['mSetNX', { a: '1', c: '2' }], ['incr', 'n'], ['incrBy', 'n', 5], ['decr', 'n'], ['decrBy', 'n', 2],
  ['incrByFloat', 'f', 0.1], ['incrByFloat', 'f', 0.2], ['incr', 'k'], ['exists', ['a', 'b', 'x']], ['del', ['a', 'x']], ['lcs', 'k', 'b'],
  ['type', 'b'], ['type', 'x'], ['rename', 'b', 'bb'], ['rename', 'nokey', 'y'], ['renameNX', 'bb', 'n'], ['copy', 'bb', 'b'], ['expire', 'b', 100], ['pExpire', 'b', 100000], ['expireAt', 'b', 9000000000],
  ['expireTime', 'b'], ['pExpireTime', 'b'], ['touch', ['b', 'x']], ['unlink', 'b'], ['keys', '*'], ['dbSize'], ['objectEncoding', 'n'], ['objectRefCount', 'n'], ['move', 'bb', 3], ['swapDb', 0, 3], ['swapDb', 0, 3],
  ['rPush', 'l', ['a', 'b', 'c']], ['lPush', 'l', 'z'], ['lRange', 'l', 0, -1], ['lLen', 'l'], ['lIndex', 'l', 0], ['lSet', 'l', 0, 'Z'], ['lSet', 'l', 99, 'Z'], ['lInsert', 'l', 'BEFORE', 'b', 'bb'], ['lRem', 'l', 0, 'bb'],
  ['lPos', 'l', 'b'], ['lPosCount', 'l', 'c', 0], ['lPop', 'l'], ['rPopCount', 'l', 1], ['lTrim', 'l', 0, 0], ['lPushX', 'none', '1'], ['rPushX', 'l', '1'], ['lMove', 'l', 'm', 'LEFT', 'RIGHT'], ['rPopLPush', 'm', 'l'],
  ['lmPop', 'l', 'LEFT', { COUNT: 5 }], ['blPop', 'none', 0.01], ['rPush', 'l', ['1', '2']], ['blPop', ['none', 'l'], 1], ['brPop', 'l', 1], ['blMove', 'none', 'l', 'LEFT', 'LEFT', 0.01], ['lPush', 'k', '1'],
  ['hSet', 'h', { a: '1', b: '2' }], ['hSet', 'h', 'c', '3'], ['hGet', 'h', 'a'], ['hGet', 'h', 'x'], ['hGetAll', 'h'], ['hGetAll', 'none'], ['hmGet', 'h', ['a', 'x']], ['hLen', 'h'], ['hExists', 'h', 'a'], ['hStrLen', 'h', 'a'],
  ['hKeys', 'h'], ['hVals', 'h'], ['hIncrBy', 'h', 'a', 3], ['hIncrByFloat', 'h', 'a', 0.5], ['hSetNX', 'h', 'a', '9'], ['hDel', 'h', ['a', 'x']], ['hScan', 'h', '0'], ['hRandField', 'none'],
  ['sAdd', 's', ['a', 'b', 'c']], ['sAdd', 's2', ['b', 'c', 'd']], ['sMembers', 's'], ['sCard', 's'], ['sIsMember', 's', 'a'], ['smIsMember', 's', ['a', 'x']], ['sInter', ['s', 's2']], ['sUnion', ['s', 's2']], ['sDiff', ['s', 's2']],
  ['sInterStore', 's3', ['s', 's2']], ['sUnionStore', 's3', ['s', 's2']], ['sDiffStore', 's4', ['s', 's2']], ['sInterCard', ['s', 's2'], 1], ['sMove', 's', 's2', 'a'], ['sRem', 's', 'b'], ['sPop', 's'], ['sRandMember', 'none'],
  ['sRandMemberCount', 's4', 2], ['sScan', 's4', '0'], ['sAdd', 'k', '1'],
  ['zAdd', 'z', [{ score: 1, value: 'a' }, { score: 2.5, value: 'b' }, { score: 3, value: 'c' }]], ['zAdd', 'z', { score: 5, value: 'a' }, { condition: 'NX' }], ['zAdd', 'z', { score: 5, value: 'a' }, { CH: true }],
  ['zIncrBy', 'z', 0.5, 'b'], ['zScore', 'z', 'a'], ['zScore', 'z', 'x'], ['zmScore', 'z', ['a', 'x']], ['zCard', 'z'], ['zCount', 'z', '-inf', '(6'], ['zRank', 'z', 'a'], ['zRevRank', 'z', 'a'], ['zRank', 'z', 'x'],
  ['zRange', 'z', 0, -1], ['zRangeWithScores', 'z', 0, -1], ['zRange', 'z', 0, -1, { REV: true }], ['zRange', 'z', 1, 9, { BY: 'SCORE', LIMIT: { offset: 0, count: 1 } }], ['zRangeByScore', 'z', 1, 9],
  ['zRangeByScoreWithScores', 'z', 1, 9], ['zAdd', 'x', [{ score: 0, value: 'a' }, { score: 0, value: 'b' }]], ['zRangeByLex', 'x', '-', '+'], ['zLexCount', 'x', '[a', '[a'], ['zRangeStore', 'y', 'z', 0, 1],
  ['zUnion', ['z', 'x']], ['zUnionWithScores', ['z', 'x']], ['zInter', ['z', 'x']], ['zDiff', ['z', 'x']], ['zDiffWithScores', ['z', 'x']], ['zUnionStore', 'u', [{ key: 'z', weight: 2 }, { key: 'x', weight: 1 }]],
  ['zInterStore', 'u', ['z', 'x']], ['zDiffStore', 'u', ['z', 'x']], ['zInterCard', ['z', 'x']], ['zPopMin', 'z'], ['zPopMaxCount', 'z', 2], ['zmPop', 'x', 'MIN'], ['bzPopMin', ['none', 'x'], 1], ['bzPopMax', 'none', 0.01],
  ['zRemRangeByRank', 'y', 0, 0], ['zRemRangeByScore', 'u', 0, 100], ['zRemRangeByLex', 'u', '-', '+'], ['zRandMember', 'none'], ['zScan', 'y', '0'], ['zRem', 'y', ['a', 'b', 'c']], ['zAdd', 'k', { score: 1, value: 'a' }],
  ['configGet', 'maxmemory-policy'], ['clientSetName', 'story'], ['clientGetName'], ['publish', 'nobody', 'x'], ['pubSubChannels'], ['pubSubNumPat'], ['sendCommand', ['NOSUCH', 'x']], ['sendCommand', ['GET']]
]

for (const [method, ...args] of STORY) {
  const run = () => redis[method](...args)
  await tell(`${method} ${JSON.stringify(args)}`, UNORDERED.has(method) ? sorted(run) : run)
}

await tell('multi', () => redis.multi().set('a', '1').incr('a').hSet('h2', 'x', '1').zAdd('z2', { score: 1, value: 'm' }).hGetAll('h2').exec())
await tell('pipeline', () => redis.multi().set('a', '1').incr('a').get('a').execAsPipeline())
await tell('multi refused', () => redis.multi().addCommand(['SET', 'a']).exec())
await tell('multi fails', () => redis.multi().set('a', 'x').incr('a').exec())
await tell('watch', async () => {
  const watcher = await open()
  await watcher.watch('a')
  await redis.set('a', '5')
  return watcher.multi().incr('a').exec()
})

const subscriber = await open()
const heard = []
let done
const all = new Promise(resolve => { done = resolve })
const hear = (text, channel) => { heard.push([channel, text]); if (heard.length === 3) done() }
await tell('subscribe', () => subscriber.subscribe(['a', 'b'], hear))
await tell('pSubscribe', () => subscriber.pSubscribe('n.*', hear))
await tell('publish', () => Promise.all([redis.publish('a', '1'), redis.publish('n.x', '2'), redis.publish('b', '3')]))
await all
await tell('heard', async () => heard)
await tell('unsubscribe', () => subscriber.unsubscribe('a'))

const waiting = await open()
const popped = waiting.blPop('later', 0)
const low = (await open()).bzPopMin('zlater', 0)
await redis.rPush('later', 'x')
await redis.zAdd('zlater', { score: 1.5, value: 'm' })
await tell('blPop later', () => popped)
await tell('bzPopMin later', () => low)

await redis.flushDb()
await Promise.all(Array.from({ length: 300 }, (_, number) => redis.set(`key:${number}`, String(number))))
await tell('scan', async () => {
  const found = new Set()
  for await (const keys of redis.scanIterator({ MATCH: 'key:*', COUNT: 17 })) [keys].flat().forEach(key => found.add(key))
  return [...found].sort()
})
await tell('close', () => redis.close())
finish()
