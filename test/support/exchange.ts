/** Talks to the counter kernel of `tiny-kernel.ts`. */
import type { MicroVm } from "../../src/index.ts"

/** Types `sent`; gives as many bytes of answer: the guest answers each byte with the count of all so far. */
export const exchange = async (vm: MicroVm, sent: string): Promise<readonly number[]> => {
  const answers: number[] = []
  const output = vm.console.output[Symbol.asyncIterator]()
  await vm.console.write(sent)
  while (answers.length < sent.length) {
    const { value, done } = await output.next()
    if (done) break
    answers.push(...value)
  }
  await output.return?.()
  return answers
}

/** Types one byte, and waits until the guest has answered `count`, whatever it said before. */
export const countsTo = async (vm: MicroVm, count: number): Promise<void> => {
  await vm.console.write("x")
  for await (const piece of vm.console.output) if (piece.includes(count)) return
  throw new Error(`the guest ended before it counted to ${count}`)
}
