// What both stories share: make a call, write down what it returned, one JSON line each.
const lines = []

/** A reply as it can be compared: buffers, maps, sets and errors have no JSON of their own. */
export function plain (value) {
  if (value === undefined) return { undefined: true }
  if (Buffer.isBuffer(value)) return { buffer: value.toString('hex') }
  if (value instanceof Error) return { error: value.message }
  if (value instanceof Map) return { map: [...value].map(plain) }
  if (value instanceof Set) return { set: [...value].map(plain).sort() }
  if (typeof value === 'number' && !Number.isFinite(value)) return { number: String(value) }
  if (typeof value === 'bigint') return { bigint: String(value) }
  if (Array.isArray(value)) return value.map(plain)
  if (value !== null && typeof value === 'object') {
    return Object.fromEntries(Object.entries(value).map(([name, part]) => [name, plain(part)]))
  }
  return value
}

export async function tell (what, promise) {
  let value
  try {
    value = await promise()
  } catch (error) {
    value = error
  }
  lines.push(JSON.stringify([what, plain(value)]))
}

export function sorted (promise) {
  return async () => {
    const value = await promise()
    return Array.isArray(value) ? value.map(plain).sort() : value
  }
}

export function finish () {
  process.stdout.write(lines.join('\n') + '\n', () => process.exit(0))
}
