/** Tells the demo as it goes: on standard output, with a line or a bar of what is awaited on standard error. */
import { formatBytes, formatDuration, plural } from "../output/format.ts"
import { LiveLine } from "../output/live-line.ts"
import { ProgressBar } from "../output/progress-bar.ts"
import { indented, table } from "../output/table.ts"
import { type Paint, painter, printable } from "../output/terminal.ts"
import type { DemoMessage, Reading } from "./messages.ts"
import type { Outcome } from "./outcome.ts"

const MIB = 2 ** 20

const nonceText = ({ bootNonce }: Reading): string => `0x${bootNonce.toString(16).padStart(16, "0")}`

const uptime = ({ monotonic }: Reading): string => formatDuration(Number(monotonic / 1000n) / 1000)

export class Story implements Disposable {
  readonly #paint: Paint = painter(process.stdout)
  readonly #outcome: Outcome
  readonly #isQuiet: boolean
  #waiting: Disposable | undefined
  #consoleLine = ""

  /** @param isQuiet only what is awaited is shown, on standard error */
  constructor(outcome: Outcome, isQuiet: boolean) {
    this.#outcome = outcome
    this.#isQuiet = isQuiet
  }

  firstLife(pid: number): void {
    this.#heading(`First life, in process ${pid}`)
    this.#wait(new LiveLine("booting", () => this.#consoleLine))
  }

  firstLifeEnded(pid: number): void {
    this.#line(`process ${pid} has ended; there is none of that number any more`)
  }

  secondLife(pid: number): void {
    this.#heading(`Second life, in process ${pid}`)
    this.#wait(new LiveLine("restoring"))
  }

  take(message: DemoMessage): void {
    switch (message.type) {
      case "console":
        this.#consoleLine = message.line
        return
      case "booted":
        this.#line(
          `booted Linux ${printable(message.kernelRelease)} in ${this.#time(message.milliseconds)}: ` +
            `${plural(message.vcpus, "vCPU")}, ${formatBytes(message.memoryMib * MIB)} of memory`,
        )
        this.#wait(new LiveLine("counting"))
        return
      case "counted":
        this.#line(`a counter in the guest: ${this.#number(message.first)}, and now ${this.#number(message.last)}`)
        this.#line(`its boot nonce ${nonceText(message.last)}, its uptime ${uptime(message.last)}`)
        return
      case "paused":
        this.#line(`paused in ${this.#time(message.milliseconds)}`)
        this.#wait(new ProgressBar("saving"))
        return
      case "saving":
        if (this.#waiting instanceof ProgressBar) this.#waiting.onProgress(message.progress)
        return
      case "saved":
        this.#line(`saved in ${this.#time(message.milliseconds)}: ${message.info.dir}`)
        this.#line(
          `${formatBytes(message.info.writtenBytes)} of ${formatBytes(message.info.memoryBytes)} of memory had something in it`,
        )
        return
      case "restored":
        this.#restored(message)
        this.#wait(new LiveLine("running a command"))
        return
      case "ran":
        this.#line(
          `${this.#paint("bold", `$ ${message.command}`)}  ${this.#paint("dim", `(${formatDuration(message.milliseconds)})`)}`,
        )
        for (const line of message.output.split("\n")) this.#line(printable(line))
        this.#wait(new LiveLine("restoring two clones"))
        return
      case "cloned":
        this.#cloned(message)
        return
      case "failed":
        return
    }
  }

  /** The tables at the end. */
  close(kept: boolean): void {
    const { steps, files, snapshot, problems } = this.#outcome
    this.#heading("How long it took")
    this.#table(steps.map(([name, milliseconds]) => [name, formatDuration(milliseconds)]))
    this.#heading("What is on disk")
    const rows = files.map(({ name, bytes, diskBytes }) => [name, formatBytes(bytes), formatBytes(diskBytes)])
    this.#table([["file", "size", "on disk"].map((title) => this.#paint("dim", title)), ...rows])
    if (kept) this.#line(`kept: cryovm restore ${snapshot.dir}`)
    this.#print("")
    if (problems.length === 0)
      this.#print(this.#paint("green", "The guest went on where it was saved, three times over."))
  }

  [Symbol.dispose](): void {
    this.#waiting?.[Symbol.dispose]()
    this.#waiting = undefined
  }

  #restored({
    restoreMilliseconds,
    resumeMilliseconds,
    answerMilliseconds,
    first,
    residentBytes,
  }: Extract<DemoMessage, { type: "restored" }>): void {
    const { saved, problemsOfContinuity } = this.#outcome
    this.#line(
      `restored in ${this.#time(restoreMilliseconds)}, resumed in ${this.#time(resumeMilliseconds)}; ` +
        `the guest answered ${this.#time(answerMilliseconds)} after the start`,
    )
    this.#line(`the counter: ${this.#number(saved)} before, ${this.#number(first)} after`)
    this.#line(`the boot nonce: ${nonceText(saved)} before, ${nonceText(first)} after`)
    this.#line(`the uptime: ${uptime(saved)} before, ${uptime(first)} after`)
    this.#line(`${formatBytes(residentBytes)} of its memory is resident; the rest is still in the snapshot only`)
    this.#verdict("it is the same guest, gone on", problemsOfContinuity)
  }

  #cloned({ clones, problems }: Extract<DemoMessage, { type: "cloned" }>): void {
    this.#heading("Two clones at once, from the same snapshot")
    clones.forEach(({ name, milliseconds, beginning, first, last, note, residentBytes }, index) => {
      const counter = index === 0 ? "counter stopped at" : "counter goes on from"
      this.#line(
        `clone ${name} answered after ${this.#time(milliseconds)} with ${this.#number(beginning)}; ` +
          `${counter} ${this.#number(first)}, then ${this.#number(last)}; its file says "${printable(note)}"; ` +
          `${formatBytes(residentBytes)} resident`,
      )
    })
    this.#verdict("they are independent of each other, and of the guest restored before", problems)
  }

  #verdict(good: string, problems: readonly string[]): void {
    if (problems.length === 0) this.#line(this.#paint("green", good))
    for (const problem of problems) this.#line(this.#paint("red", printable(problem)))
  }

  #wait(waiting: Disposable): void {
    this.#waiting?.[Symbol.dispose]()
    this.#waiting = waiting
  }

  #heading(text: string): void {
    this.#print(`\n${this.#paint("bold", text)}`)
  }

  #line(text: string): void {
    this.#print(`  ${text}`)
  }

  #table(rows: readonly (readonly string[])[]): void {
    this.#print(indented(table(rows, [1, 2])).trimEnd())
  }

  #number({ value }: Reading): string {
    return this.#paint("cyan", value.toString())
  }

  #time(milliseconds: number): string {
    return this.#paint("yellow", formatDuration(milliseconds))
  }

  /** A line of the story ends what was awaited: both are on the same terminal, mostly. */
  #print(text: string): void {
    this[Symbol.dispose]()
    if (!this.#isQuiet) process.stdout.write(`${text}\n`)
  }
}
