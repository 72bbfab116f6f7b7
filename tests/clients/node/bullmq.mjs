// BullMQ: queues, workers, flows, schedulers, priorities, retries – every script of its own, unchanged.
import { FlowProducer, Queue, QueueEvents, Worker } from 'bullmq'
import { finish, tell } from './tell.mjs'

const connection = { port: Number(process.argv[2]), host: '127.0.0.1', maxRetriesPerRequest: null }
const queue = new Queue('story', { connection })
const token = 'token'

/** Times are of the day, and ids of schedulers hold them. */
const timeless = value => JSON.parse(JSON.stringify(value ?? null, (key, part) => {
  if (typeof part === 'number' && part > 1e12) return 'time'
  if (typeof part === 'string') return part.replace(/\d{13}/g, 'time').replace(/at .*\n?/g, '')
  return ['processedOn', 'finishedOn', 'timestamp', 'stacktrace', 'delay', 'every', 'nextRun'].includes(key) ? typeof part : part
}))
const shown = job => job && timeless({
  id: job.id, name: job.name, data: job.data, opts: job.opts, progress: job.progress, attempts: job.attemptsMade, started: job.attemptsStarted,
  result: job.returnvalue, reason: job.failedReason, parent: job.parentKey
})
const says = (what, run) => tell(what, async () => timeless(await run()))
const counts = () => says('counts', () => queue.getJobCounts())

await says('ready', async () => { await queue.waitUntilReady(); return true })
await says('obliterate', () => queue.obliterate({ force: true }))

// Adding.
await tell('add', async () => shown(await queue.add('plain', { n: 1 }, { jobId: 'a' })))
await tell('add again', async () => shown(await queue.add('plain', { n: 2 }, { jobId: 'a' })))
await tell('add numbered', async () => shown(await queue.add('numbered', { n: 3 })))
await tell('lifo', async () => shown(await queue.add('last', {}, { jobId: 'l', lifo: true })))
for (const [at, priority] of [5, 1, 3, 1].entries()) {
  await tell('priority', async () => shown(await queue.add('urgent', { at }, { jobId: `p${at}`, priority })))
}
await tell('delayed', async () => shown(await queue.add('later', {}, { jobId: 'd', delay: 100000 })))
await tell('bulk', async () => (await queue.addBulk([1, 2, 3].map(n => ({ name: 'bulk', data: { n }, opts: { jobId: `b${n}` } })))).map(shown))
await tell('deduplicated', async () => shown(await queue.add('once', {}, { jobId: 'o1', deduplication: { id: 'only' } })))
await tell('deduplicated again', async () => shown(await queue.add('once', {}, { jobId: 'o2', deduplication: { id: 'only' } })))
await says('deduplication', () => queue.getDeduplicationJobId('only'))
await says('undo deduplication', () => queue.removeDeduplicationKey('only'))
await counts()
await says('waiting', async () => (await queue.getWaiting()).map(job => job.id))
await says('prioritized', async () => (await queue.getPrioritized()).map(job => job.id))
await says('count by priority', () => queue.getCountsPerPriority([0, 1, 3, 5]))
await says('state', async () => Promise.all(['a', 'p1', 'd', 'none'].map(id => queue.getJobState(id))))
await says('change priority', async () => (await queue.getJob('p2')).changePriority({ priority: 9 }))
await says('change delay', async () => (await queue.getJob('d')).changeDelay(200000))
await says('promote', async () => (await queue.getJob('d')).promote())
await says('update data', async () => (await queue.getJob('a')).updateData({ n: 'new' }))
await says('progress', async () => (await queue.getJob('a')).updateProgress(42))
await says('log', async () => [await queue.addJobLog('a', 'one line'), await queue.addJobLog('a', 'two', 1), await queue.getJobLogs('a')])
await says('pause', () => queue.pause())
await says('paused', () => queue.isPaused())
await counts()
await says('resume', () => queue.resume())

// Working, by hand: one job after the other, in the order the queue gives.
const worker = new Worker('story', null, { connection, autorun: false, lockDuration: 60000 })
await worker.waitUntilReady()
for (let round = 0; round < 14; round++) {
  let job
  await tell('next', async () => shown(job = await worker.getNextJob(token, { block: false })))
  if (!job) break
  await says('lock', () => job.extendLock(token, 60000))
  if (round === 2) await says('fails', () => job.moveToFailed(new Error('broken'), token, false))
  else if (round === 4) await says('delays', () => job.moveToDelayed(Date.now() + 100000, token))
  else if (round === 5) await says('discards', () => job.moveToFailed(new Error('worse'), token, false))
  else await says('completes', () => job.moveToCompleted({ round }, token, false))
}
await counts()
await says('completed', async () => (await queue.getCompleted()).map(shown).sort((a, b) => a.id < b.id ? -1 : 1))
await says('failed', async () => (await queue.getFailed()).map(shown).sort((a, b) => a.id < b.id ? -1 : 1))
await says('retry', async () => (await queue.getFailed()).sort((a, b) => a.id < b.id ? -1 : 1)[0].retry())
await says('retry all', () => queue.retryJobs({ count: 10 }))
await says('promote all', () => queue.promoteJobs({ count: 10 }))
await counts()
await says('remove', async () => (await queue.getJob('b1')).remove())
await says('clean', async () => (await queue.clean(0, 100, 'completed')).sort())
await says('drain', () => queue.drain(true))
await says('metrics', async () => (await queue.getMetrics('completed')).meta.count)
await counts()

// Retries with a pause between, and jobs that are not kept.
await queue.add('flaky', {}, { jobId: 'f', attempts: 3, backoff: { type: 'fixed', delay: 10 }, removeOnComplete: true })
await queue.add('gone', {}, { jobId: 'g', removeOnFail: true })
const events = new QueueEvents('story', { connection })
await events.waitUntilReady()
let tries = 0
const working = new Worker('story', async job => {
  if (job.name === 'gone') throw new Error('for good')
  if (job.name === 'flaky' && ++tries < 3) throw new Error(`try ${tries}`)
  return { done: job.name, children: await job.getChildrenValues() }
}, { connection, concurrency: 1, autorun: false })
const ended = id => new Promise(resolve => {
  const all = (kind, about) => about.jobId === id && resolve([kind, about.returnvalue ?? about.failedReason])
  events.on('completed', about => all('completed', about))
  events.on('failed', about => all('failed', about))
})
const [flaky, gone] = [ended('f'), ended('g')]
working.run()
await says('flaky', () => flaky)
await says('gone', () => gone)
await says('nothing kept', async () => [await queue.getJob('f') ?? null, await queue.getJob('g') ?? null])

// A tree of jobs: the parent is run when its children have been.
const flows = new FlowProducer({ connection })
const top = ended('top')
await tell('flow', async () => shown((await flows.add({
  name: 'top', queueName: 'story', opts: { jobId: 'top' },
  children: [1, 2].map(n => ({ name: `child${n}`, queueName: 'story', data: { n }, opts: { jobId: `c${n}` } }))
})).job))
await says('flow ends', () => top)
await says('tree', async () => {
  const tree = await flows.getFlow({ id: 'top', queueName: 'story' })
  return [shown(tree.job), tree.children.map(child => shown(child.job)).sort((a, b) => a.id < b.id ? -1 : 1)]
})
await says('dependencies', async () => (await queue.getJob('top')).getDependenciesCount())

// Schedulers.
await working.close()
await tell('scheduler', async () => shown(await queue.upsertJobScheduler('daily', { every: 86400000, offset: 1000 }, { name: 'tick', data: { x: 1 } }))?.name)
await says('schedulers', async () => (await queue.getJobSchedulers()).map(one => [one.key, one.name, one.every ?? null]))
await says('count of schedulers', () => queue.getJobSchedulersCount())
await says('remove scheduler', () => queue.removeJobScheduler('daily'))
await says('rate limit', async () => [await queue.setGlobalConcurrency(3), await queue.getGlobalConcurrency(), await queue.removeGlobalConcurrency()])
await says('limited', async () => { await queue.rateLimit(50000); return (await queue.getRateLimitTtl(10)) > 40000 })
await says('workers', async () => (await queue.getWorkersCount()) >= 0)
await says('trim', async () => (await queue.trimEvents(0)) >= 0)

// What is left behind: the keys, by their kinds and sizes.
const redis = await queue.client
await says('keys', async () => {
  const found = []
  for (const key of (await redis.keys('bull:story*')).sort()) found.push([key.replace(/\d{13}/g, 'time'), await redis.type(key)])
  return found
})
await says('meta', () => redis.hgetall('bull:story:meta'))
await says('obliterate', () => queue.obliterate({ force: true }))
await says('left', () => redis.dbsize())
await Promise.all([worker.close(), events.close(), flows.close(), queue.close()])
finish()
