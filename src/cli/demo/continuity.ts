/** Whether a counter is the one from before, gone on, and not one that began again. */
import type { Reading } from "./messages.ts"

const TICK_NS = (milliseconds: number): bigint => BigInt(milliseconds) * 1_000_000n

/**
 * What is wrong with `after` as a later reading of the counter that showed `before`; nothing where it went on.
 * @param readings how many readings were made after `before`, `after` among them: each adds one
 */
export const continuityProblems = (
  before: Reading,
  after: Reading,
  { tickMs, readings }: { readonly tickMs: number; readonly readings: number },
): readonly string[] => {
  const problems: string[] = []
  if (after.bootNonce !== before.bootNonce) problems.push("the boot nonce differs: this is another guest")
  const elapsed = after.monotonic - before.monotonic
  if (elapsed <= 0n) problems.push(`the guest's clock went back by ${-elapsed} ns`)
  const grown = after.value - before.value
  // A tick that is late is not made up for, so the clock gives the most there can be. One may fall on the edge.
  const most = BigInt(readings) + (elapsed > 0n ? elapsed : 0n) / TICK_NS(tickMs) + 1n
  if (grown < BigInt(readings)) problems.push(`the counter did not go on: ${before.value} before, ${after.value} after`)
  else if (grown > most)
    problems.push(`the counter jumped: ${before.value} before, ${after.value} after, ${before.value + most} at most`)
  return problems
}

/** What is wrong with two readings, one right after the other, of a counter that ticks: nothing where it did. */
export const tickingProblems = (first: Reading, last: Reading): readonly string[] =>
  last.value > first.value + 1n ? [] : [`the counter stands still at ${last.value}`]
