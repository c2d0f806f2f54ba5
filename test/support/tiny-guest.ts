/**
 * Guests of a few bytes of machine code, for tests of what lies below a real kernel.
 *
 * The code runs in 16-bit real mode from {@link codeAddress}, with RAM from 0 and DS and ES over an empty part of the
 * address space at {@link deviceAddress}, so that `mov al, [offset]` is an MMIO access.
 */
import {
  loadNative,
  type NativeMemory,
  type NativeMemorySource,
  type NativeVcpuStop,
  type NativeVm,
} from "../../src/native.ts"
import { kvmPath } from "./kvm.ts"

export const codeAddress = 0x1000
export const deviceAddress = 0xd0000
export const ramBytes = 0x80000

/** KVM_EXIT_*, linux/kvm.h. */
export const Exit = { IO: 2, DEBUG: 4, HLT: 5, MMIO: 6, SHUTDOWN: 8, FAIL_ENTRY: 9, INTERNAL_ERROR: 17 } as const

const low = (value: number) => value & 0xff
const word = (value: number) => [low(value), low(value >> 8)]

/** Real-mode instructions, as bytes. Offsets are into the device window. */
export const x86 = {
  cli: [0xfa],
  sti: [0xfb],
  hlt: [0xf4],
  ud2: [0x0f, 0x0b],
  iret: [0xcf],
  /** `jmp $`: for ever. */
  spin: [0xeb, 0xfe],
  /** Back over the last `bytes` bytes of code (the jump's own are added). */
  jumpBack: (bytes: number) => [0xeb, low(-(bytes + 2))],
  setAl: (value: number) => [0xb0, value],
  setAx: (value: number) => [0xb8, ...word(value)],
  setEax: (value: number) => [0x66, 0xb8, ...word(value), ...word(value >>> 16)],
  setCx: (value: number) => [0xb9, ...word(value)],
  setDx: (value: number) => [0xba, ...word(value)],
  setSi: (value: number) => [0xbe, ...word(value)],
  setDi: (value: number) => [0xbf, ...word(value)],
  incBx: [0x43],
  outAl: (port: number) => [0xe6, port],
  inAl: (port: number) => [0xe4, port],
  outDxAl: [0xee],
  outDxEax: [0x66, 0xef],
  inEaxDx: [0x66, 0xed],
  /** `rep outsb` from CS:SI (RAM), CX bytes to port DX. */
  repOutsb: [0x2e, 0xf3, 0x6e],
  writeAl: (offset: number) => [0xa2, ...word(offset)],
  writeEax: (offset: number) => [0x66, 0xa3, ...word(offset)],
  readAl: (offset: number) => [0xa0, ...word(offset)],
  readEax: (offset: number) => [0x66, 0xa1, ...word(offset)],
  /** `popcnt ax, [offset]`: KVM's emulator does not know it, so that on a device it is an internal error anywhere. */
  popcntDevice: (offset: number) => [0xf3, 0x0f, 0xb8, 0x06, ...word(offset)],
  /** Byte of RAM, through CS. */
  writeRamAl: (address: number) => [0x2e, 0xa2, ...word(address)],
}

/** `struct kvm_regs`, by name. */
const registers = {
  rax: 0,
  rbx: 8,
  rcx: 16,
  rdx: 24,
  rsi: 32,
  rdi: 40,
  rsp: 48,
  rbp: 56,
  rip: 128,
  rflags: 136,
} as const
export type Register = keyof typeof registers

const viewOf = (bytes: Uint8Array) => new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength)

/** Offsets in `struct kvm_sregs`. */
const idtLimit = 216
const cr0 = 224

/** `struct kvm_segment` for real mode with the given base. */
const putSegment = (sregs: DataView, index: number, base: number) => {
  const at = index * 24
  sregs.setBigUint64(at, BigInt(base), true)
  sregs.setUint16(at + 12, base >> 4, true)
}

export interface TinyGuestOptions {
  readonly vcpuCount?: number
  readonly ramBytes?: number
  /** Where the RAM comes from; anonymous memory without it. */
  readonly source?: NativeMemorySource
  /** Protected mode with an empty interrupt table: the first exception is a triple fault. */
  readonly protectedMode?: boolean
  readonly onAccess?: (guest: TinyGuest, vcpu: number) => void
  readonly onStop?: (guest: TinyGuest, stop: NativeVcpuStop) => void
}

export interface TinyGuest {
  readonly vm: NativeVm
  readonly memory: NativeMemory
  readonly ram: Uint8Array
  /** Every stop so far. */
  readonly stops: readonly NativeVcpuStop[]
  /** The next stop that has not been waited for yet. */
  nextStop(): Promise<NativeVcpuStop>
  /** Pauses and waits until every vCPU says so. */
  pause(): Promise<void>
  run(vcpu?: number): DataView
  /** The access that a vCPU waits for, decoded from its run page. */
  access(vcpu?: number): Access
  register(name: Register, vcpu?: number): bigint
  setRegister(name: Register, value: bigint, vcpu?: number): void
  close(): Promise<void>
}

export interface Access {
  readonly kind: "io" | "mmio"
  readonly write: boolean
  /** Port or guest-physical address. */
  readonly address: number
  /** Bytes of one item, and how many items (1 for MMIO). */
  readonly size: number
  readonly count: number
  /** What is written, or where the answer goes. */
  readonly data: Uint8Array
}

/** `struct kvm_run`: `io` and `mmio` start at byte 32. */
export const decodeAccess = (page: ArrayBuffer): Access => {
  const run = new DataView(page)
  if (run.getUint32(8, true) === Exit.IO) {
    const size = run.getUint8(33)
    const count = run.getUint32(36, true)
    const offset = Number(run.getBigUint64(40, true))
    return {
      kind: "io",
      write: run.getUint8(32) === 1,
      address: run.getUint16(34, true),
      size,
      count,
      data: new Uint8Array(page, offset, size * count),
    }
  }
  const size = run.getUint32(48, true)
  return {
    kind: "mmio",
    write: run.getUint8(52) !== 0,
    address: Number(run.getBigUint64(32, true)),
    size,
    count: 1,
    data: new Uint8Array(page, 40, size),
  }
}

/** Makes a guest with `code` in its memory and every vCPU about to run it; parked. */
export const tinyGuest = (code: readonly number[], options: TinyGuestOptions = {}): TinyGuest => {
  const native = loadNative()
  const memory = native.mapMemory(options.ramBytes ?? ramBytes, options.source ?? { kind: "anonymous" })
  const stops: NativeVcpuStop[] = []
  const unread: NativeVcpuStop[] = []
  const waiting: Array<(stop: NativeVcpuStop) => void> = []
  const vcpuCount = options.vcpuCount ?? 1
  const vm = native.createVm(kvmPath, {
    vcpuCount,
    onAccess: (vcpu) => options.onAccess?.(guest, vcpu),
    onStop: (stop) => {
      stops.push(stop)
      const waiter = waiting.shift()
      if (waiter === undefined) unread.push(stop)
      else waiter(stop)
      options.onStop?.(guest, stop)
    },
  })
  const regs = (vcpu: number) => vm.getVcpu(vcpu, "regs")
  const guest: TinyGuest = {
    vm,
    memory,
    ram: new Uint8Array(memory.window(0, memory.size)),
    stops,
    nextStop: () => {
      const stop = unread.shift()
      return stop === undefined ? new Promise((resolve) => waiting.push(resolve)) : Promise.resolve(stop)
    },
    pause: async () => {
      vm.pause()
      for (let left = vcpuCount; left > 0; ) {
        if ((await guest.nextStop()).reason === "paused") left -= 1
      }
    },
    run: (vcpu = 0) => new DataView(vm.run[vcpu]!),
    access: (vcpu = 0) => decodeAccess(vm.run[vcpu]!),
    register: (name, vcpu = 0) => viewOf(regs(vcpu)).getBigUint64(registers[name], true),
    setRegister: (name, value, vcpu = 0) => {
      const bytes = regs(vcpu)
      viewOf(bytes).setBigUint64(registers[name], value, true)
      vm.setVcpu(vcpu, "regs", bytes)
    },
    close: async () => {
      await vm.close()
      memory.close()
    },
  }
  vm.setMemoryRegion({ slot: 0, guestAddress: 0, memory, offset: 0, size: memory.size })
  guest.ram.set(code, codeAddress)
  for (let vcpu = 0; vcpu < vcpuCount; vcpu++) {
    const bytes = vm.getVcpu(vcpu, "sregs")
    const sregs = viewOf(bytes)
    putSegment(sregs, 0, 0)
    putSegment(sregs, 1, deviceAddress)
    putSegment(sregs, 2, deviceAddress)
    putSegment(sregs, 5, 0)
    if (options.protectedMode === true) {
      sregs.setUint16(idtLimit, 0, true)
      sregs.setBigUint64(cr0, sregs.getBigUint64(cr0, true) | 1n, true)
    }
    vm.setVcpu(vcpu, "sregs", bytes)
    // KVM_MP_STATE_RUNNABLE: all but the first wait to be started by the first otherwise.
    vm.setVcpu(vcpu, "mp_state", new Uint8Array([0, 0, 0, 0]))
    guest.setRegister("rip", BigInt(codeAddress), vcpu)
    guest.setRegister("rsp", 0xf000n, vcpu)
    guest.setRegister("rflags", 2n, vcpu)
  }
  return guest
}

/** Every file under test/native closes what it opened: nothing of the addon may be left. */
export const liveObjects = () => loadNative().liveObjects()
