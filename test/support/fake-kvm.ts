/** A `NativeVm` that is only memory for what is set, for tests of orders and refusals that no real host shows. */
import { KvmError, type NativeVm, type VcpuStructure, type VmStructure } from "../../src/native.ts"

export interface FakeKvm {
  readonly vm: NativeVm
  /** Every set call in order: a structure's name, or `msrs:` with the indices in hex. */
  readonly calls: readonly string[]
  readonly msrs: readonly Map<number, bigint>[]
  readonly structures: Map<string, Uint8Array>
}

export interface FakeKvmOptions {
  readonly vcpuCount?: number
  readonly tscKhz?: number
  /** Structures that this host does not have. */
  readonly absent?: readonly VcpuStructure[]
  readonly msrs?: readonly (readonly [number, bigint])[]
  /** Registers that take no value. */
  readonly refusedMsrs?: readonly number[]
  readonly xsaveSize?: number
  readonly setTscKhz?: (khz: number) => void
}

const sizes: Readonly<Record<VcpuStructure | VmStructure, number>> = {
  regs: 144,
  sregs: 312,
  sregs2: 320,
  fpu: 416,
  xsave: 4096,
  xcrs: 392,
  debugregs: 128,
  lapic: 1024,
  mp_state: 4,
  vcpu_events: 64,
  cpuid2: 80,
  nested_state: 128,
  pic_master: 520,
  pic_slave: 520,
  ioapic: 520,
  pit2: 112,
  clock: 48,
}

const viewOf = (bytes: Uint8Array) => new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength)

export const fakeKvm = (options: FakeKvmOptions = {}): FakeKvm => {
  const vcpuCount = options.vcpuCount ?? 1
  const calls: string[] = []
  const structures = new Map<string, Uint8Array>()
  const msrs = Array.from({ length: vcpuCount }, () => new Map(options.msrs ?? []))
  const sizeOf = (name: VcpuStructure | VmStructure) => (name === "xsave" ? (options.xsaveSize ?? 4096) : sizes[name])
  const absent = (structure: VcpuStructure): void => {
    if (!options.absent?.includes(structure)) return
    throw new KvmError({ message: `no ${structure}`, operation: "ioctl", errno: 25, errnoName: "ENOTTY" })
  }
  const only: Partial<NativeVm> = {
    vcpuCount,
    getVcpu: (vcpu, structure) => {
      absent(structure)
      const fresh = new Uint8Array(sizeOf(structure))
      // No VMXON region: an address of all ones.
      if (structure === "nested_state") fresh.fill(0xff, 8, 24)
      return structures.get(`${structure}${vcpu}`)?.slice() ?? fresh
    },
    setVcpu: (vcpu, structure, bytes) => {
      absent(structure)
      if (structure !== "cpuid2" && bytes.length !== sizeOf(structure)) throw new Error(`size of ${structure}`)
      calls.push(structure)
      structures.set(`${structure}${vcpu}`, bytes.slice())
    },
    getVm: (structure) => structures.get(structure)?.slice() ?? new Uint8Array(sizeOf(structure)),
    setVm: (structure, bytes) => {
      if (bytes.length !== sizeOf(structure)) throw new Error(`size of ${structure}`)
      calls.push(structure)
      structures.set(structure, bytes.slice())
    },
    getMsrs: (vcpu, indices) => {
      const known = indices.filter((index) => msrs[vcpu]?.has(index))
      const entries = new Uint8Array(known.length * 16)
      known.forEach((index, at) => {
        viewOf(entries).setUint32(at * 16, index, true)
        viewOf(entries).setBigUint64(at * 16 + 8, msrs[vcpu]?.get(index) ?? 0n, true)
      })
      return { entries, refused: indices.filter((index) => !known.includes(index)) }
    },
    setMsrs: (vcpu, entries) => {
      const refused: number[] = []
      const names: string[] = []
      for (let at = 0; at < entries.length; at += 16) {
        const index = viewOf(entries).getUint32(at, true)
        names.push(index.toString(16))
        if (options.refusedMsrs?.includes(index)) refused.push(index)
        else msrs[vcpu]?.set(index, viewOf(entries).getBigUint64(at + 8, true))
      }
      calls.push(`msrs:${names.join(",")}`)
      return refused
    },
    getTscKhz: () => options.tscKhz ?? 2_000_000,
    setTscKhz: (_vcpu, khz) => {
      calls.push(`tsc_khz:${khz}`)
      options.setTscKhz?.(khz)
    },
  }
  return { vm: only as NativeVm, calls, msrs, structures }
}
