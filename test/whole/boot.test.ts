// time limit: 300 s
import { test } from "uvu"
import * as assert from "uvu/assert"
import { type GuestRequestFailed, MicroVm } from "../../src/index.ts"
import { kvmTest } from "../support/kvm.ts"

const textOf = async (output: AsyncIterable<Uint8Array>, until: string): Promise<string> => {
  let text = ""
  for await (const piece of output) {
    text += Buffer.from(piece).toString("utf8")
    if (text.includes(until)) return text
  }
  throw new Error(`the console ended without ${JSON.stringify(until)}: ${text}`)
}

kvmTest("a Linux guest boots, tells so on its console, runs programs and stops", async () => {
  await using vm = await MicroVm.create({ vcpus: 2, memoryMib: 128, label: "boot test" })
  assert.is(vm.state, "configured")
  await vm.start()
  assert.is(vm.state, "running")
  const hello = await vm.guest.ready({ timeoutMs: 150_000 })
  assert.match(hello.kernelRelease, /^6\.1\..*cryovm/)
  assert.match(await textOf(vm.console.output, "ready"), /cryovm guest ready/)

  const shell = await vm.guest.exec("echo out; echo err >&2; exit 3")
  assert.equal([shell.stdout, shell.stderr, shell.exitCode, shell.signal], ["out\n", "err\n", 3, 0])
  assert.is((await vm.guest.exec(["nproc"])).stdout, "2\n")
  const echoed = await vm.guest.exec(["cat"], { stdin: "typed in", env: { A: "b" }, cwd: "/tmp" })
  assert.is(echoed.stdout, "typed in")
  const environment = await vm.guest.exec("pwd; echo $A", { env: { A: "b c" }, cwd: "/tmp" })
  assert.is(environment.stdout, "/tmp\nb c\n")

  const missing = await vm.guest.exec(["/no/such/program"]).then(
    () => undefined,
    (error: GuestRequestFailed) => error,
  )
  assert.is(missing?.code, "CRYOVM_GUEST_REQUEST_FAILED")
  assert.is(missing?.errnoName, "ENOENT")

  const content = new Uint8Array(700_000).map((_, index) => index % 253)
  await vm.guest.writeFile("/tmp/file", content, { mode: 0o600 })
  assert.equal(await vm.guest.readFile("/tmp/file"), content)
  assert.match((await vm.guest.exec("ls -l /tmp/file")).stdout, /^-rw------- .* 700000 /)

  const timed = await vm.guest.exec("sleep 60", { timeoutMs: 500 })
  assert.ok(timed.timedOut)
  await assertAborts(vm)

  const { meminfo, vmstat } = await vm.guest.memoryInfo()
  assert.ok((meminfo.get("MemTotal") ?? 0) > 100 * 2 ** 20)
  assert.ok((vmstat.get("pgfault") ?? 0) > 0)

  const filled = await vm.guest.fillMemory(16, { huge: true, hold: true, pattern: 0x5a })
  assert.is(filled.signal, 0)
  const verified = await vm.guest.verifyMemory(filled.handle)
  assert.equal([verified.pages, verified.pagesNotPattern], [4096n, 0n])
  assert.ok(vm.residentBytes > 32 * 2 ** 20)
  await vm.guest.releaseMemory(filled.handle)
  await vm.guest.dropCaches({ compact: true })
  assert.is((await vm.guest.readFreshMemory(2, { huge: true })).pagesNotZero, 0n)

  const stopped = vm.stopped()
  await vm.guest.powerOff()
  await stopped
  assert.is(vm.state, "stopped")
  const late = await vm.guest.time().then(
    () => "answered",
    (error: { code: string }) => error.code,
  )
  assert.is(late, "CRYOVM_GUEST_UNAVAILABLE")
})

/** Giving up on a program kills it in the guest. */
const assertAborts = async (vm: MicroVm): Promise<void> => {
  const controller = new AbortController()
  const running = vm.guest.exec("exec sleep 4242", { signal: controller.signal })
  setTimeout(() => controller.abort(new Error("enough")), 700)
  const reason = await running.then(
    () => "finished",
    (error: Error) => error.message,
  )
  assert.is(reason, "enough")
  await vm.guest.sleep(300)
  assert.is((await vm.guest.exec("ps | grep -c '[s]leep 4242'")).stdout, "0\n")
}

kvmTest("the same guest boots by its PVH entry, in little memory and without devices it can do without", async () => {
  await using vm = await MicroVm.create({ memoryMib: 40, bootProtocol: "pvh", devices: { rng: false } })
  await vm.start()
  await vm.guest.ready({ timeoutMs: 150_000 })
  assert.is((await vm.guest.exec("ls /sys/bus/virtio/devices")).stdout, "virtio0\n")
})

test.run()
