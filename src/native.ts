/**
 * The one seam to the C++ addon: its types, and its errors mapped to ours.
 *
 * The addon holds mechanism and no policy: it issues the ioctls, runs the vCPU threads and moves bytes.
 * Structures of the KVM API cross this seam as the raw bytes of the kernel's ABI (`linux/kvm.h`);
 * `machine/kvm/` gives them names. Nothing else in the project loads the addon.
 */

import { existsSync } from "node:fs"
import { createRequire } from "node:module"
import { fileURLToPath } from "node:url"
import * as Data from "effect/Data"

/** A system call or ioctl failed, or the addon refused an argument. */
export class KvmError extends Data.TaggedError("KvmError")<{
  readonly message: string
  /** Name of the ioctl or system call, for example `KVM_CREATE_VM` or `mmap`. */
  readonly operation: string
  /** `errno` of the failed call; 0 where the addon itself refused. */
  readonly errno: number
  /** Symbolic form of `errno`, for example `ENOMEM`; empty when `errno` is 0. */
  readonly errnoName: string
  readonly cause?: unknown
}> {
  readonly code = "CRYOVM_KVM"
}

/** The compiled addon is not there, or cannot be loaded into this Node. */
export class NativeAddonMissing extends Data.TaggedError("NativeAddonMissing")<{
  readonly message: string
  readonly cause?: unknown
}> {
  readonly code = "CRYOVM_NATIVE_ADDON_MISSING"
}

/** What `/dev/kvm` said of itself. */
export interface NativeHostProbe {
  /** `KVM_GET_API_VERSION`; 12 on every kernel since 2.6.22. */
  readonly apiVersion: number
  /** `KVM_CHECK_EXTENSION` of every capability the addon knows, by its name without `KVM_CAP_`. */
  readonly capabilities: Readonly<Record<string, number>>
  /** `KVM_GET_MSR_INDEX_LIST`, in the kernel's order. */
  readonly msrIndices: readonly number[]
  /** `KVM_GET_SUPPORTED_CPUID`: an array of `struct kvm_cpuid_entry2` (40 bytes each). */
  readonly supportedCpuid: Uint8Array
  /** Release of the host kernel, from `uname`. */
  readonly kernelRelease: string
}

/** Where the bytes of a mapping come from. */
export type NativeMemorySource =
  /** Anonymous, private, zero until written. */
  | { readonly kind: "anonymous" }
  /** `MAP_PRIVATE` of an open file: reads come from the file, writes stay here. The addon dups `fd`. */
  | {
      readonly kind: "file"
      readonly fd: number
      readonly offset: number
      /** What lies over the file: the layers of a chain of snapshots, already composed. */
      readonly laid?: NativeLaidFiles
      /** For tests: the most anonymous overlays that `discard` may leave (2,048 without it). */
      readonly maximumOverlays?: number
      /** For tests: the most runs of `laid` that become mappings of their own (8,192 without it). */
      readonly maximumLaidRuns?: number
    }
  /** A memfd of the addon's own, shared and sealed against any change of its size. Zero until written. */
  | { readonly kind: "memfd" }

/**
 * Runs of pages and where their content is, four numbers each: offset in the mapping, length in bytes, index of a file
 * (-1: zeros), offset in that file (0 for zeros). Whole pages; ascending by the first number, not overlapping.
 */
export type NativeRuns = Float64Array

/** Files laid over a mapping, run by run. */
export interface NativeLaidFiles {
  /** The addon dups them. */
  readonly fds: readonly number[]
  readonly runs: NativeRuns
}

/** Work on a thread of the addon. */
export interface NativeJob<A> {
  /** Bytes dealt with so far; grows to the size of what is worked on. Cheap to read. */
  readonly scannedBytes: number
  /** Asks the work to stop; `done` then rejects with `errnoName` `ECANCELED`. */
  abort(): void
  readonly done: Promise<A>
}

/**
 * Digests of a file's content in chunks, 16 bytes each: XXH3-128 (canonical, big endian) of, for each page of the chunk
 * that is not all zero, its number in the chunk as 8 bytes little endian and its 4,096 bytes. So a hole, zeros, and what
 * is not there are the same, and cost nothing.
 */
export type NativeDigests = Uint8Array

export interface NativeDumpResult {
  readonly writtenBytes: number
  /** Left out because never touched or zero. */
  readonly skippedBytes: number
  /** Of the mapping, in chunks of it from its start; empty where none were asked for. */
  readonly digests: NativeDigests
}

export type NativeDump = NativeJob<NativeDumpResult>

/** Which pages a diff looks at. */
export type NativeCandidates =
  /** One bit a page, little endian, in whole 64-bit words, as `getDirtyLog` gives them. */
  | Uint8Array
  /**
   * Of memory from a file: the pages that are this mapping's own, written or discarded since it was mapped. Not all that
   * were ever written: one that was discarded where the file has a hole, or that holds again what was laid there, is as
   * it was when it was mapped. Found with PAGEMAP_SCAN or from the entries of `/proc/self/pagemap`; right also with swap.
   */
  | "written"
  /**
   * Every page that may hold something, here or in the baseline. Without a baseline there is nothing below that zeros
   * would have to cover, so that they are left out: it is all of memory, packed.
   */
  | "all"

export interface NativeDiffOptions {
  readonly candidates: NativeCandidates
  /**
   * With `written`: the pages that were ever discarded, as a bitmap. What is looked at is then all that can differ from
   * any moment since the mapping was made, whatever it was when it was made: for a baseline of such a moment.
   */
  readonly discarded?: Uint8Array
  /** Of the same size: candidates that equal it are left out. Read only, and not written to meanwhile. */
  readonly baseline?: NativeMemory
  /** Bytes of a chunk of `digests`, a multiple of 4,096; without it there are none. */
  readonly chunkBytes?: number
}

export interface NativeDiffResult {
  /** What changed: runs of file 0, packed behind each other from `fileOffset` on, and of zeros. */
  readonly runs: NativeRuns
  /** Bytes of packed pages. */
  readonly writtenBytes: number
  /** Bytes in runs of zeros. */
  readonly zeroBytes: number
  /** Of the packed pages, in chunks from `fileOffset` on. */
  readonly digests: NativeDigests
}

/** One mapping of guest memory in this process. */
export interface NativeMemory {
  readonly size: number
  /**
   * Bytes of `laid` that are copied instead of mapped: many runs of single pages, for that takes less time, and what
   * there would have been too many mappings for. A thread of the addon copies while other things go on. Whatever needs the
   * memory first (all but `close`) waits for it, and throws where a file cannot be read.
   */
  readonly copiedBytes: number
  /**
   * An external buffer over `[offset, offset + length)`, detached by `close`. 0.7 us; V8 counts its length as memory
   * of its own and collects garbage accordingly, so ask for what is needed, and keep it.
   */
  window(offset: number, length: number): ArrayBuffer
  /**
   * Writes the mapping's content to `fd` at `fileOffset`, on a thread of its own. What was never touched and what
   * is zero is left as a hole (the range of the file must be one already). The caller keeps the guest paused and
   * `fd` open until `done` settles. Has the disk begin with the file meanwhile, but does not fsync.
   * @param chunkBytes of a chunk of the digests, a multiple of 4,096; without it there are none
   */
  dump(fd: number, fileOffset: number, chunkBytes?: number): NativeDump
  /**
   * Finds what changed and writes it to `fd` at `fileOffset` (a multiple of 4,096), packed; with `fd` null it is only
   * found. On a thread of its own, under the conditions of `dump`. Pages that are not in memory are read from the file
   * behind it and stay where they are, here and in the baseline.
   */
  dumpDiff(fd: number | null, fileOffset: number, options: NativeDiffOptions): NativeJob<NativeDiffResult>
  /**
   * Gives the host memory of ranges back: pairs of offset and length in bytes, in whole pages, ascending, not
   * overlapping. Afterwards they read as zero, here and in the guest, which may run but must not use them meanwhile.
   * Memory from a file takes a mapping for each separate range (not where the file has a hole), of which there can only
   * be so many: what goes beyond that is written over with zeros. Not while a `dump` is under way.
   * A failure names in its message how many ranges were done; every page is then as it was, or zero.
   */
  discard(ranges: Float64Array): {
    /** Bytes that take no memory any more. */
    readonly discardedBytes: number
    /** Bytes that read as zero, but could not be given back. */
    readonly zeroedBytes: number
  }
  /**
   * Bytes of this mapping resident in memory, from `/proc/self/pagemap`; of all of it or of `length` bytes from
   * `offset`, both multiples of 4,096.
   */
  residentBytes(offset?: number, length?: number): number
  /** Detaches every buffer at once; unmaps when no virtual machine uses the mapping and no dump is under way. Idempotent. */
  close(): void
}

/** Structures of one vCPU. The bytes are the kernel's `struct` of that name unless said otherwise. */
export type VcpuStructure =
  | "regs"
  | "sregs"
  | "sregs2"
  | "fpu"
  /** `struct kvm_xsave` of the size `KVM_CAP_XSAVE2` tells, got with `KVM_GET_XSAVE2` where there is one. */
  | "xsave"
  | "xcrs"
  | "debugregs"
  /** `struct kvm_lapic_state`, 1,024 bytes. */
  | "lapic"
  | "mp_state"
  | "vcpu_events"
  /** An array of `struct kvm_cpuid_entry2`, 40 bytes each (without the header). */
  | "cpuid2"
  /** `struct kvm_nested_state` with its data; got only where `KVM_CAP_NESTED_STATE` is above 0. */
  | "nested_state"

/** Structures of the virtual machine. */
export type VmStructure =
  /** `struct kvm_irqchip` (520 bytes) of each chip. */
  | "pic_master"
  | "pic_slave"
  | "ioapic"
  /** `struct kvm_pit_state2`. */
  | "pit2"
  /** `struct kvm_clock_data`. */
  | "clock"

/** Why a vCPU thread is parked. */
export interface NativeVcpuStop {
  readonly vcpu: number
  /**
   * `paused`: as asked. `exit`: an exit that this layer does not serve (`exitReason` is `KVM_EXIT_*`, the rest is in
   * the vCPU's `run` page). `error`: KVM_RUN failed with `errno`. `handler`: `onAccess` threw; the access is not
   * finished, and would be with what the `run` page holds if the vCPU were resumed.
   */
  readonly reason: "paused" | "exit" | "error" | "handler"
  readonly exitReason: number
  readonly errno: number
  /** What `onAccess` threw, where `reason` is `handler`. */
  readonly cause?: unknown
}

export interface NativeVmOptions {
  readonly vcpuCount: number
  /**
   * A vCPU accessed a port or an address that nothing native answers. The access is described by that vCPU's `run`
   * page (`struct kvm_run`: `exit_reason` KVM_EXIT_IO 2 or KVM_EXIT_MMIO 6); for a read, the handler stores the
   * answer there before it returns. The vCPU waits until then.
   */
  readonly onAccess: (vcpu: number) => void
  /** A vCPU thread parked. Called once for each vCPU after every `pause`, and once when one parks of itself. */
  readonly onStop: (stop: NativeVcpuStop) => void
}

/** Where a guest's write is turned into a notification. */
export interface NativeNotifierOptions {
  readonly space: "mmio" | "pio"
  readonly address: number
  /** 0 (any length, no datamatch), 1, 2, 4 or 8. */
  readonly length: number
  /** Notify only on this value. */
  readonly datamatch?: number
}

/** One virtual machine with its vCPUs. All vCPU and VM structure calls need every vCPU parked, else they throw. */
export interface NativeVm {
  readonly vcpuCount: number
  /** `struct kvm_run` of each vCPU, as the kernel maps it. Detached by `close`. */
  readonly run: readonly ArrayBuffer[]
  /**
   * Interrupt status words shared with the vCPU threads, one 32-bit word a cell (use `Atomics`). Detached by `close`.
   * 64 cells.
   */
  readonly statusCells: ArrayBuffer

  /**
   * `KVM_SET_USER_MEMORY_REGION`. `size` 0 removes the slot. `offset` is into `memory`. Called again for the same slot
   * and memory, it changes the flags.
   */
  setMemoryRegion(region: {
    readonly slot: number
    readonly guestAddress: number
    readonly memory: NativeMemory
    readonly offset: number
    readonly size: number
    readonly logDirtyPages?: boolean
    readonly readOnly?: boolean
  }): void
  /** Whether KVM protects pages anew only by `clearDirtyLog` (KVM_CAP_MANUAL_DIRTY_LOG_PROTECT2); turned on where there is. */
  readonly hasManualDirtyLog: boolean
  /**
   * `KVM_GET_DIRTY_LOG`: one bit a page, little endian, in whole 64-bit words. What it tells is forgotten by it, unless
   * `hasManualDirtyLog`. No write of the guest is missed; a page that this process has written to itself is also told
   * when the guest reads it for the first time. What this process writes is not told.
   */
  getDirtyLog(slot: number): Uint8Array
  /**
   * `KVM_CLEAR_DIRTY_LOG`: the pages whose bits are set are clean until they are written to again. `bitmap` is as long
   * as what `getDirtyLog` gives. Does nothing without `hasManualDirtyLog`: there `getDirtyLog` has done it.
   */
  clearDirtyLog(slot: number, bitmap: Uint8Array): void

  /** Starts every parked vCPU, also one that parked of itself. After `pause`, each still parks and tells so first. */
  resume(): void
  /**
   * Asks every vCPU to park; `onStop` tells of each. A vCPU inside an access is let finish it first: KVM_RUN is
   * re-entered with `immediate_exit` set until nothing is pending.
   */
  pause(): void

  getVcpu(vcpu: number, structure: VcpuStructure): Uint8Array
  setVcpu(vcpu: number, structure: VcpuStructure, bytes: Uint8Array): void
  /**
   * `KVM_GET_MSRS`: `struct kvm_msr_entry` (16 bytes: u32 index, u32 0, u64 value) for each index the kernel gives;
   * those it refuses are left out (their indices end up in `refused`).
   */
  getMsrs(
    vcpu: number,
    indices: readonly number[],
  ): { readonly entries: Uint8Array; readonly refused: readonly number[] }
  /** `KVM_SET_MSRS` in the given order; returns the indices that the kernel refused (the others are set). */
  setMsrs(vcpu: number, entries: Uint8Array): readonly number[]
  /** `KVM_GET_TSC_KHZ`; 0 where the kernel does not tell. */
  getTscKhz(vcpu: number): number
  setTscKhz(vcpu: number, khz: number): void
  /** `KVM_KVMCLOCK_CTRL`: tells the guest that it was stopped. False when the guest uses no kvmclock. */
  kvmclockCtrl(vcpu: number): boolean
  /** `KVM_NMI`. */
  nmi(vcpu: number): void

  getVm(structure: VmStructure): Uint8Array
  setVm(structure: VmStructure, bytes: Uint8Array): void

  /** Registers an ioeventfd polled by libuv; `callback` runs on the JavaScript thread. Returns its id. */
  addNotifier(options: NativeNotifierOptions, callback: () => void): number
  removeNotifier(id: number): void
  /** Registers an irqfd for `gsi` (edge: a pulse a signal). Returns its id. */
  addInterrupt(gsi: number): number
  removeInterrupt(id: number): void
  /** Pulses the interrupt. 0.3 us. */
  raiseInterrupt(id: number): void
  /**
   * Answers, in the vCPU's own thread, 4-byte reads of `readAddress` with status cell `cell`, and 4-byte writes to
   * `ackAddress` by clearing the written bits in it (virtio-mmio InterruptStatus and InterruptACK).
   */
  addStatusCell(cell: number, readAddress: number, ackAddress: number): void
  removeStatusCell(cell: number): void

  /**
   * Ends every vCPU thread, removes fds and slots, detaches `run` and `statusCells`. Resolves when all is gone.
   * Idempotent: a second call gives the same promise. While a VM is open it keeps the process alive. From the call on,
   * nothing is called back, not even for a pause under way. What still reads or writes guest memory (`fs.read`) must
   * have ended before the memory is closed: detaching does not stop it.
   */
  close(): Promise<void>
}

export interface NativeAddon {
  /** Opens `path`, asks, closes. Throws where it cannot be opened. */
  probeHost(path: string): NativeHostProbe
  mapMemory(size: number, source: NativeMemorySource): NativeMemory
  /** KVM_CREATE_VM, TSS address, identity map address, irqchip, PIT2 (speaker dummy), then the vCPUs and their threads, parked. */
  createVm(path: string, options: NativeVmOptions): NativeVm
  /** {@link NativeDigests} of `length` bytes of a file from `offset`; both multiples of 4,096. Holes are skipped. */
  digestFile(fd: number, offset: number, length: number, chunkBytes: number): NativeJob<NativeDigests>
  /** {@link NativeDigests} of bytes at hand, a multiple of 4,096. */
  digest(bytes: Uint8Array, chunkBytes: number): NativeDigests
  /**
   * `renameat2` with RENAME_EXCHANGE: what lies under the two names, of one file system, changes places at once. EINVAL
   * (or ENOSYS) where the file system cannot do that.
   */
  exchangePaths(a: string, b: string): void
  /** Objects alive in the addon, for leak tests. */
  liveObjects(): { readonly vms: number; readonly memories: number; readonly threads: number }
}

const candidates = ["../../native/build/cryovm.node", "../../prebuilds/linux-x64/cryovm.node"]

let loaded: NativeAddon | undefined

/**
 * Loads the addon once.
 * @throws NativeAddonMissing
 */
export const loadNative = (): NativeAddon => {
  if (loaded !== undefined) return loaded
  const paths = candidates.map((relative) => fileURLToPath(new URL(relative, import.meta.url)))
  const path = paths.find((candidate) => existsSync(candidate))
  if (path === undefined) {
    throw new NativeAddonMissing({
      message: `the native addon is not built (looked for ${paths.join(" and ")}); run "npm run setup" in the project, or "node scripts/build-native.mjs" in the installed package`,
    })
  }
  try {
    loaded = createRequire(import.meta.url)(path) as NativeAddon
  } catch (cause) {
    throw new NativeAddonMissing({ message: `the native addon ${path} cannot be loaded: ${String(cause)}`, cause })
  }
  return loaded
}

/** Fields that the addon puts on the errors it throws. */
interface NativeErrorFields {
  readonly operation?: unknown
  readonly errno?: unknown
  readonly errnoName?: unknown
}

/** Maps whatever the addon threw to a {@link KvmError}; keeps one that is already ours. */
export const toKvmError = (cause: unknown): KvmError => {
  if (cause instanceof KvmError) return cause
  const fields: NativeErrorFields = typeof cause === "object" && cause !== null ? cause : {}
  return new KvmError({
    message: cause instanceof Error ? cause.message : String(cause),
    operation: typeof fields.operation === "string" ? fields.operation : "native",
    errno: typeof fields.errno === "number" ? fields.errno : 0,
    errnoName: typeof fields.errnoName === "string" ? fields.errnoName : "",
    cause,
  })
}
