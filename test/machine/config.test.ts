import { test } from "uvu"
import * as assert from "uvu/assert"
import {
  ConfigInvalid,
  decodeConfig,
  type MachineState,
  MachineV1,
  machineComponent,
  storedDevices,
} from "../../src/machine/config.ts"
import { component, StateDowngradeLossy, StateInvalid } from "../../src/state/component.ts"

const issuesOf = (input: unknown): Readonly<Record<string, string>> => {
  try {
    decodeConfig(input)
  } catch (error) {
    assert.instance(error, ConfigInvalid)
    const { code, issues, message } = error as ConfigInvalid
    assert.is(code, "CRYOVM_CONFIG_INVALID")
    for (const issue of issues) assert.ok(message.includes(issue.message))
    return Object.fromEntries(issues.map((issue) => [issue.path, issue.message]))
  }
  throw new Error("the configuration was accepted")
}

test("nothing given means the defaults", () => {
  const defaults = {
    vcpus: 1,
    memoryMib: 128,
    kernel: "embedded",
    initramfs: "embedded",
    bootProtocol: "auto",
    devices: { rng: true, agent: true, balloon: false },
    trackDirtyPages: false,
  }
  assert.equal(decodeConfig(undefined), defaults)
  assert.equal(decodeConfig({}), defaults)
  assert.equal(decodeConfig({ vcpus: undefined, devices: {} }), defaults)
})

test("what is given is kept", () => {
  const given = {
    vcpus: 8,
    memoryMib: 1048576,
    kernel: { path: "/boot/vmlinux" },
    initramfs: "none",
    commandLine: "console=ttyS0",
    extraCommandLine: "debug",
    bootProtocol: "pvh",
    devices: {
      rng: false,
      agent: false,
      balloon: {
        targetMib: 12,
        deflateOnOom: true,
        statistics: true,
        statisticsIntervalSeconds: 0.5,
        freePageHinting: true,
        freePageReporting: true,
      },
    },
    label: "web",
    trackDirtyPages: true,
  }
  assert.equal(decodeConfig(given), given)
  const bytes = new Uint8Array([1, 2])
  assert.equal(decodeConfig({ kernel: { bytes }, initramfs: { bytes } }).kernel, { bytes })
})

test("every mistake is named by its field, all at once", () => {
  const issues = issuesOf({
    vcpus: 9,
    memoryMib: 31,
    kernel: "vmlinux",
    initramfs: { path: 3 },
    commandLine: 1,
    extraCommandLine: [],
    bootProtocol: "efi",
    devices: { rng: "yes", agent: 1, gpu: true },
    label: {},
    memory: 3,
    trackDirtyPages: 1,
  })
  assert.equal(Object.keys(issues).sort(), [
    "bootProtocol",
    "commandLine",
    "devices.agent",
    "devices.gpu",
    "devices.rng",
    "extraCommandLine",
    "initramfs",
    "kernel",
    "label",
    "memory",
    "memoryMib",
    "trackDirtyPages",
    "vcpus",
  ])
  assert.is(issues.vcpus, "expected an integer from 1 to 8")
  assert.match(issues.memory ?? "", /unknown field/)
  assert.match(issues["devices.gpu"] ?? "", /unknown field/)
  assert.match(issues.kernel ?? "", /"embedded", \{ path: string \} or \{ bytes: Uint8Array \}/)
  assert.match(issues.initramfs ?? "", /"none"/)
  assert.match(issues.bootProtocol ?? "", /"auto", "linux64", "pvh"/)
})

test("numbers have to be integers in their range, whatever else they are", () => {
  for (const vcpus of [0, -1, 1.5, Number.NaN, Number.POSITIVE_INFINITY, "2", null, 2n]) {
    assert.equal(issuesOf({ vcpus }), { vcpus: "expected an integer from 1 to 8" })
  }
  for (const memoryMib of [1048577, 64.5, "128"]) {
    assert.equal(issuesOf({ memoryMib }), { memoryMib: "expected an integer from 32 to 1048576" })
  }
})

test("a source is one of its forms, not two and not an empty one", () => {
  for (const kernel of [{}, { path: "" }, { path: "a", bytes: new Uint8Array() }, { bytes: [1] }, 7, "none", null]) {
    assert.equal(Object.keys(issuesOf({ kernel })), ["kernel"])
  }
})

test("what is no object is refused as a whole", () => {
  for (const input of ["", 1, true]) assert.equal(Object.keys(issuesOf(input)), [""])
  assert.equal(Object.keys(issuesOf({ devices: 1 })), ["devices"])
})

const state: MachineState = {
  vcpus: 2,
  memoryMib: 256,
  commandLine: "console=ttyS0",
  label: "web",
  devices: { rng: true, agent: false, balloon: false },
  kernel: { sha256: new Uint8Array(32).fill(1), source: "embedded" },
  initramfs: { sha256: new Uint8Array(32).fill(2), source: "/srv/initramfs.cpio" },
}

test("the stored configuration comes back, with and without what is optional", () => {
  const { label: _label, initramfs: _initramfs, ...least } = state
  for (const value of [state, least]) assert.equal(machineComponent.decode(machineComponent.encode(value)), value)
})

test("a balloon is none, or has every default filled in; its mistakes are named", () => {
  const features = { deflateOnOom: false, statistics: true, freePageHinting: false, freePageReporting: false }
  const defaults = { ...features, targetMib: 0, statisticsIntervalSeconds: 0 }
  assert.equal(decodeConfig({ devices: { balloon: false } }).devices.balloon, false)
  assert.equal(decodeConfig({ devices: { balloon: undefined } }).devices.balloon, false)
  assert.equal(decodeConfig({ devices: { balloon: {} } }).devices.balloon, defaults)
  assert.equal(decodeConfig({ devices: { balloon: { targetMib: undefined } } }).devices.balloon, defaults)
  const many = { targetMib: -1, deflateOnOom: 1, statisticsIntervalSeconds: 0.01, freePageHints: true }
  assert.equal(issuesOf({ devices: { balloon: many } }), {
    "devices.balloon.targetMib": "expected an integer from 0 to 1048576",
    "devices.balloon.deflateOnOom": "expected true or false",
    "devices.balloon.statisticsIntervalSeconds": "expected 0, or 0.1 to 65535 seconds",
    "devices.balloon.freePageHints": "unknown field; see MicroVmConfig for the fields there are",
  })
  for (const balloon of [true, "on", null, 3]) {
    assert.equal(issuesOf({ devices: { balloon } }), { "devices.balloon": "expected false or an object" })
  }
  const contradictory = { targetMib: 65, statistics: false, statisticsIntervalSeconds: 1 }
  assert.equal(issuesOf({ memoryMib: 64, devices: { balloon: contradictory } }), {
    "devices.balloon.targetMib": "expected at most memoryMib, 64",
    "devices.balloon.statisticsIntervalSeconds": "expected 0 without statistics",
  })
})

test("the stored configuration of before there were balloons is read, and written where there is none", () => {
  const { devices, ...others } = state
  const old = component("machine", MachineV1).encode({ ...others, devices: { rng: devices.rng, agent: devices.agent } })
  assert.equal(machineComponent.decode(old), state)
  assert.equal(machineComponent.encode(state, 1), old)
  const features = { deflateOnOom: false, statistics: true, freePageHinting: false, freePageReporting: false }
  const withBalloon = { ...state, devices: { ...devices, balloon: features } }
  assert.equal(machineComponent.decode(machineComponent.encode(withBalloon)), withBalloon)
  assert.throws(
    () => machineComponent.encode(withBalloon, 1),
    (error: unknown) => error instanceof StateDowngradeLossy,
  )
  const asked = { ...features, targetMib: 3, statisticsIntervalSeconds: 1 }
  assert.equal(storedDevices({ ...devices, balloon: asked }), withBalloon.devices)
})

test("a stored configuration that no machine could have is refused", () => {
  const wrong = { ...state, vcpus: 0 }
  assert.throws(
    () => machineComponent.encode(wrong),
    (error: unknown) => error instanceof StateInvalid,
  )
  const short = { ...state, kernel: { sha256: new Uint8Array(31), source: "" } }
  assert.throws(
    () => machineComponent.encode(short),
    (error: unknown) => error instanceof StateInvalid,
  )
})

test.run()
