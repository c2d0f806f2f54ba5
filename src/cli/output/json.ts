/** The one object that `--json` prints. Bytes become hexadecimal text, and 64-bit numbers decimal text. */

const encode = (_: string, value: unknown): unknown => {
  if (typeof value === "bigint") return value.toString()
  if (value instanceof Uint8Array) return Buffer.from(value).toString("hex")
  if (value instanceof Map) return Object.fromEntries(value)
  return value
}

export const printJson = (value: unknown): void => {
  process.stdout.write(`${JSON.stringify(value, encode, 2)}\n`)
}
