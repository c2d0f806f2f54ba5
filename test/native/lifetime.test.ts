import { spawn } from "node:child_process"
import { readdirSync } from "node:fs"
import { setFlagsFromString } from "node:v8"
import { runInNewContext } from "node:vm"
import { Worker } from "node:worker_threads"
import { test } from "uvu"
import * as assert from "uvu/assert"
import { loadNative } from "../../src/native.ts"
import { kvmTest } from "../support/kvm.ts"
import { liveObjects, tinyGuest, x86 } from "../support/tiny-guest.ts"

const nothing = { vms: 0, memories: 0, threads: 0 }
const openFiles = () => readdirSync("/proc/self/fd").length
const threads = () => readdirSync("/proc/self/task").length
const sleep = (milliseconds: number) => new Promise((resolve) => setTimeout(resolve, milliseconds))

setFlagsFromString("--expose-gc")
const collectGarbage: () => void = runInNewContext("gc")
const untilNothingIsLeft = async () => {
  for (let i = 0; i < 100; i++) {
    collectGarbage()
    await sleep(5)
    const { vms, memories, threads: running } = liveObjects()
    if (vms + memories + running === 0) return
  }
}

/** Reads a device for ever. */
const accessing = [...x86.readAl(4), ...x86.jumpBack(3)]

kvmTest("close ends the threads, frees the descriptors and detaches the buffers", async () => {
  const before = [openFiles(), threads()]
  const guest = tinyGuest(accessing, { vcpuCount: 2 })
  guest.vm.addNotifier({ space: "pio", address: 0x60, length: 1 }, () => {})
  guest.vm.addInterrupt(5)
  const run = new Uint8Array(guest.vm.run[0]!)
  const cells = new Uint32Array(guest.vm.statusCells)
  guest.vm.resume()
  assert.equal(liveObjects(), { vms: 1, memories: 1, threads: 2 })
  await sleep(5)
  const closed = guest.vm.close()
  assert.is(guest.vm.close(), closed, "a second call gives the same promise")
  assert.is(run.length, 0)
  assert.is(cells.length, 0)
  await closed
  assert.equal(liveObjects(), { vms: 0, memories: 1, threads: 0 })
  assert.is(guest.vm.close(), closed)
  for (const call of [
    () => guest.vm.resume(),
    () => guest.vm.pause(),
    () => guest.vm.getVcpu(0, "regs"),
    () => guest.vm.getVm("clock"),
    () => guest.vm.raiseInterrupt(1),
    () => guest.vm.addNotifier({ space: "pio", address: 0x60, length: 1 }, () => {}),
  ]) {
    assert.throws(call, /closed/)
  }
  guest.memory.close()
  assert.equal(liveObjects(), nothing)
  assert.equal([openFiles(), threads()], before)
})

kvmTest("close within onAccess, within onStop, and during a pause", async () => {
  await new Promise<void>((resolve) => {
    const guest = tinyGuest(accessing, { onAccess: (self) => resolve(self.close()) })
    guest.vm.resume()
  })
  await new Promise<void>((resolve) => {
    const guest = tinyGuest(accessing, { vcpuCount: 2, onStop: (self) => resolve(self.close()) })
    guest.vm.resume()
    guest.vm.pause()
  })
  const guest = tinyGuest(accessing, { vcpuCount: 2 })
  guest.vm.resume()
  guest.vm.pause()
  await guest.close()
  assert.equal(liveObjects(), nothing)
})

kvmTest("a vCPU whose access waits for JavaScript is let go by close", async () => {
  const guest = tinyGuest(accessing)
  guest.vm.resume()
  // JavaScript is busy: the vCPU has come to its access, and waits.
  const until = Date.now() + 30
  while (Date.now() < until);
  await guest.close()
  assert.equal(liveObjects(), nothing)
})

kvmTest("a failed createVm leaves nothing behind", () => {
  const before = [openFiles(), threads()]
  const options = { onAccess: () => {}, onStop: () => {} }
  assert.throws(() => loadNative().createVm("/dev/kvm", { ...options, vcpuCount: 4096 }))
  assert.throws(() => loadNative().createVm("/dev/kvm", { ...options, vcpuCount: 0 }), /at least 1/)
  assert.throws(() => loadNative().createVm("/dev/kvm", { ...options, vcpuCount: 1.5 }), /whole number/)
  assert.throws(() => loadNative().createVm("/dev/kvm", { vcpuCount: 1 } as never), /onAccess/)
  assert.equal(liveObjects(), nothing)
  assert.equal([openFiles(), threads()], before)
})

kvmTest("two hundred machines one after another, and eight at once, leave nothing", async () => {
  const one = async (vcpuCount: number) => {
    const guest = tinyGuest(accessing, { vcpuCount })
    guest.vm.addNotifier({ space: "pio", address: 0x60, length: 1 }, () => {})
    guest.vm.addInterrupt(5)
    guest.memory.window(0, 4096)
    guest.vm.resume()
    await guest.pause()
    await guest.close()
  }
  await one(1)
  collectGarbage()
  await sleep(10)
  const before = [openFiles(), threads()]
  const memoryBefore = process.memoryUsage.rss()
  for (let i = 0; i < 192; i++) await one(1)
  await Promise.all(Array.from({ length: 8 }, () => one(2)))
  assert.equal(liveObjects(), nothing)
  assert.equal([openFiles(), threads()], before)
  collectGarbage()
  await sleep(10)
  const grown = process.memoryUsage.rss() - memoryBefore
  assert.ok(grown < 24 * 1024 * 1024, `${grown} bytes more than before`)
})

kvmTest("what is dropped without being closed is cleaned up when it is collected", async () => {
  const before = openFiles()
  const drop = async () => {
    const guest = tinyGuest(accessing, { vcpuCount: 2 })
    guest.vm.resume()
    await guest.pause()
    loadNative().mapMemory(1 << 20, { kind: "anonymous" })
  }
  await drop()
  await untilNothingIsLeft()
  assert.equal(liveObjects(), nothing)
  await sleep(20)
  assert.is(openFiles(), before)
})

kvmTest("a machine that runs is not collected, even when nobody holds it", async () => {
  let accesses = 0
  let last: ReturnType<typeof tinyGuest> | undefined
  const start = () => {
    const weak = tinyGuest(accessing, {
      onAccess: (self) => {
        accesses += 1
        if (accesses === 2000) last = self
      },
    })
    weak.vm.resume()
  }
  start()
  while (last === undefined) {
    collectGarbage()
    await sleep(5)
  }
  await last.close()
})

test("a buffer keeps memory that was dropped without being closed", async () => {
  const take = () => {
    const memory = loadNative().mapMemory(1 << 20, { kind: "anonymous" })
    return new Uint8Array(memory.window(4096, 4096))
  }
  let bytes: Uint8Array | undefined = take()
  for (let i = 0; i < 10; i++) {
    collectGarbage()
    await sleep(2)
  }
  bytes.fill(7)
  assert.is(bytes[4095], 7)
  assert.is(liveObjects().memories, 1)
  bytes = undefined
  await untilNothingIsLeft()
  assert.is(liveObjects().memories, 0)
})

/** Runs code in a process of its own, with a guest that keeps accessing a device. */
const child = (code: string) =>
  new Promise<{ readonly code: number | null; readonly signal: string | null; readonly output: string }>((resolve) => {
    const support = new URL("../support/tiny-guest.js", import.meta.url).href
    const script = `import { tinyGuest, x86 } from ${JSON.stringify(support)}
      const accessing = [...x86.readAl(4), ...x86.jumpBack(3)]
      const spinning = x86.spin
      ${code}`
    const running = spawn(process.execPath, ["--input-type=module", "--eval", script], { timeout: 20_000 })
    let output = ""
    running.stdout.on("data", (piece) => {
      output += piece
    })
    running.stderr.on("data", (piece) => {
      output += piece
    })
    running.on("close", (exit, signal) => resolve({ code: exit, signal, output }))
  })

const exits: ReadonlyArray<readonly [string, string, number]> = [
  [
    "with guests that run",
    "tinyGuest(spinning, { vcpuCount: 2 }).vm.resume(); setTimeout(() => process.exit(7), 20)",
    7,
  ],
  ["with an access under way", "tinyGuest(accessing, { onAccess: () => process.exit(7) }).vm.resume()", 7],
  [
    "with an access that nobody answers",
    "tinyGuest(accessing).vm.resume(); const t = Date.now(); while (Date.now() - t < 50); process.exit(7)",
    7,
  ],
  ["with a parked guest", "tinyGuest(spinning); process.exit(7)", 7],
  ["during close", "const g = tinyGuest(accessing); g.vm.resume(); g.vm.close(); process.exit(7)", 7],
  ["by an exception", "tinyGuest(accessing).vm.resume(); setTimeout(() => { throw new Error('out') }, 20)", 1],
  [
    "during a dump",
    `const { openSync } = await import("node:fs")
     const g = tinyGuest(spinning, { ramBytes: 64 << 20 }); g.ram.fill(1)
     g.memory.dump(openSync("/dev/null", "w"), 0); process.exit(7)`,
    7,
  ],
  ["of itself once everything is closed", "const g = tinyGuest(accessing); g.vm.resume(); await g.close()", 0],
]
for (const [how, code, expected] of exits) {
  kvmTest(`the process ends ${how}`, async () => {
    for (let i = 0; i < 3; i++) {
      const result = await child(code)
      assert.is(result.signal, null, result.output)
      assert.is(result.code, expected, result.output)
    }
  })
}

kvmTest("an open machine keeps the process alive", async () => {
  const result = await child(
    `const g = tinyGuest(spinning); globalThis.g = g
     process.on("exit", () => console.log("ended by itself"))
     setTimeout(() => { console.log("still here"); g.close() }, 100).unref()`,
  )
  assert.is(result.code, 0)
  assert.is(result.output, "still here\nended by itself\n")
})

kvmTest("what onStop throws is an uncaught exception", async () => {
  const result = await child(
    `process.on("uncaughtException", (error) => { console.log("uncaught:", error.message); process.exit(0) })
     const g = tinyGuest(spinning, { onStop: () => { throw new Error("in onStop") } })
     g.vm.resume(); g.vm.pause()`,
  )
  assert.is(result.output, "uncaught: in onStop\n")
  assert.is(result.code, 0)
})

kvmTest("a worker that is terminated takes its guests with it", async () => {
  const before = threads()
  const support = new URL("../support/tiny-guest.js", import.meta.url).href
  for (const what of ["spinning", "accessing", "waiting", "parked", "dumping"]) {
    const worker = new Worker(
      `const { parentPort } = require("node:worker_threads")
       const { openSync } = require("node:fs")
       import(${JSON.stringify(support)}).then(({ tinyGuest, x86 }) => {
         const what = ${JSON.stringify(what)}
         const code = what === "spinning" ? x86.spin : [...x86.readAl(4), ...x86.jumpBack(3)]
         const guest = tinyGuest(code, { vcpuCount: 2, ramBytes: 64 << 20 })
         globalThis.guest = guest
         guest.vm.addNotifier({ space: "pio", address: 0x60, length: 1 }, () => {})
         if (what === "dumping") { guest.ram.fill(1); guest.memory.dump(openSync("/dev/null", "w"), 0) }
         else if (what !== "parked") guest.vm.resume()
         parentPort.postMessage("ready")
         if (what === "waiting") for (;;);
       })`,
      { eval: true },
    )
    await new Promise((resolve, reject) => worker.once("message", resolve).once("error", reject))
    await sleep(20)
    await worker.terminate()
    assert.equal(liveObjects(), nothing, what)
  }
  for (let i = 0; i < 50 && threads() > before; i++) await sleep(10)
  assert.ok(threads() <= before + 1, `${threads()} threads, ${before} before`)
})

test.run()
