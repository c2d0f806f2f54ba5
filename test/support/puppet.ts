/**
 * A guest that does what the test tells it over COM1, one command at a time: fill memory, write a word, read a byte. So
 * it is the guest that writes, through KVM, also to the registers and rings of virtio devices, and the test knows what.
 */
import { Register } from "../../src/devices/virtio/constants.ts"
import type { MicroVm, MicroVmConfig } from "../../src/index.ts"
import { elfImage } from "./kernel-images.ts"

const ENTRY = 0x100000
/** Where the guest keeps the command it works on. */
export const COMMAND_ADDRESS = 0x300000
const COMMAND_BYTES = 21
/** Memory above 4 GiB that the guest maps: 2 MiB. */
export const HIGH_ADDRESS = 2 ** 32 + 0x200000

/** The boot page tables map the first GiB; this adds the virtio-mmio windows and {@link HIGH_ADDRESS}. */
const CODE = [
  ...[0x48, 0xc7, 0x04, 0x25, 0x18, 0xa0, 0x00, 0x00, 0x03, 0xd0, 0x00, 0x00], // 00: mov qword [0xa018], 0xd003
  ...[0xb8, 0x83, 0x00, 0x00, 0xd0], // 0c: mov eax, 0xd0000000 | present, writable, large
  ...[0x48, 0x89, 0x04, 0x25, 0x00, 0xd4, 0x00, 0x00], // 11: mov [0xd400], rax
  ...[0x48, 0xc7, 0x04, 0x25, 0x20, 0xa0, 0x00, 0x00, 0x03, 0xc0, 0x00, 0x00], // 19: mov qword [0xa020], 0xc003
  ...[0x48, 0xb8, 0x83, 0x00, 0x20, 0x00, 0x01, 0x00, 0x00, 0x00], // 25: mov rax, 4 GiB + 2 MiB | present, ...
  ...[0x48, 0x89, 0x04, 0x25, 0x08, 0xc0, 0x00, 0x00], // 2f: mov [0xc008], rax
  ...[0xbf, 0x00, 0x00, 0x30, 0x00], // 37 next: mov edi, COMMAND_ADDRESS
  ...[0xb9, 0x15, 0x00, 0x00, 0x00], // 3c: mov ecx, COMMAND_BYTES
  ...[0x66, 0xba, 0xfd, 0x03], // 41 byte: mov dx, 0x3fd (LSR)
  ...[0xec], // 45 wait: in al, dx
  ...[0xa8, 0x01], // 46: test al, 1 (data ready)
  ...[0x74, 0xfb], // 48: jz wait
  ...[0x66, 0xba, 0xf8, 0x03], // 4a: mov dx, 0x3f8 (RBR)
  ...[0xec], // 4e: in al, dx
  ...[0xaa], // 4f: stosb
  ...[0xff, 0xc9], // 50: dec ecx
  ...[0x75, 0xed], // 52: jnz byte
  ...[0x48, 0x8b, 0x3c, 0x25, 0x01, 0x00, 0x30, 0x00], // 54: mov rdi, [COMMAND_ADDRESS + 1]
  ...[0x48, 0x8b, 0x04, 0x25, 0x09, 0x00, 0x30, 0x00], // 5c: mov rax, [COMMAND_ADDRESS + 9]
  ...[0x8b, 0x0c, 0x25, 0x11, 0x00, 0x30, 0x00], // 64: mov ecx, [COMMAND_ADDRESS + 17]
  ...[0x8a, 0x14, 0x25, 0x00, 0x00, 0x30, 0x00], // 6b: mov dl, [COMMAND_ADDRESS]
  ...[0x84, 0xd2], // 72: test dl, dl
  ...[0x74, 0x08], // 74: jz fill
  ...[0xfe, 0xca], // 76: dec dl
  ...[0x74, 0x09], // 78: jz store
  ...[0x8a, 0x07], // 7a: mov al, [rdi]
  ...[0xeb, 0x09], // 7c: jmp send
  ...[0xf3, 0x48, 0xab], // 7e fill: rep stosq
  ...[0xeb, 0x02], // 81: jmp answer
  ...[0x89, 0x07], // 83 store: mov [rdi], eax
  ...[0xb0, 0x2e], // 85 answer: mov al, '.'
  ...[0x66, 0xba, 0xf8, 0x03], // 87 send: mov dx, 0x3f8 (THR)
  ...[0xee], // 8b: out dx, al
  ...[0xeb, 0xa9], // 8c: jmp next
]

/** A machine with an entropy device in the first virtio-mmio slot and a balloon in the second. */
export const puppetMachine: MicroVmConfig = {
  memoryMib: 32,
  kernel: {
    bytes: elfImage({ entry: ENTRY, segments: [{ physicalAddress: ENTRY, bytes: Uint8Array.from(CODE) }] }),
  },
  initramfs: "none",
  commandLine: "",
  devices: { agent: false, rng: true, balloon: { statistics: false } },
}

const FILL = 0
const STORE = 1
const READ = 2

/** Tells the guest of one machine what to do. Each call ends when the guest has done it. */
export class Puppet implements AsyncDisposable {
  readonly #vm: MicroVm
  readonly #output: AsyncIterator<Uint8Array>
  #answers: number[] = []
  /** The last command, as it still lies in the guest's memory at {@link COMMAND_ADDRESS}. */
  lastCommand: Uint8Array = new Uint8Array(COMMAND_BYTES)

  /** @param vm one whose guest waits for its next command, and that nobody has listened to yet */
  constructor(vm: MicroVm) {
    this.#vm = vm
    this.#output = vm.console.output[Symbol.asyncIterator]()
  }

  async #command(operation: number, address: number, value: bigint, count: number): Promise<number> {
    const command = new Uint8Array(COMMAND_BYTES)
    const view = new DataView(command.buffer)
    view.setUint8(0, operation)
    view.setBigUint64(1, BigInt(address), true)
    view.setBigUint64(9, value, true)
    view.setUint32(17, count, true)
    await this.#vm.console.write(command)
    this.lastCommand = command
    while (this.#answers.length === 0) {
      const { value: bytes, done } = await this.#output.next()
      if (done) throw new Error("the guest's console has ended")
      this.#answers.push(...bytes)
    }
    return this.#answers.shift() ?? 0
  }

  /** Writes `value` to `count` words of 8 bytes from `address` on. */
  async fill(address: number, value: bigint, count: number): Promise<void> {
    await this.#command(FILL, address, value, count)
  }

  /** Writes 4 bytes to memory or to a device's register. */
  async store(address: number, value: number): Promise<void> {
    await this.#command(STORE, address, BigInt(value >>> 0), 0)
  }

  async readByte(address: number): Promise<number> {
    return this.#command(READ, address, 0n, 0)
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#output.return?.()
  }
}

const QUEUE_SIZE = 8
const VIRTIO_MMIO_BASE = 0xd0000000
const WRITE = 2

/** What the guest's driver of one queue knows, beyond what lies in memory. */
export interface DriverPosition {
  readonly submitted: number
}

/** The driver of a device's first queue: one buffer at a time, its rings in three pages from `rings` on. */
export class PuppetDriver {
  readonly #registers: number
  readonly rings: number
  position: DriverPosition = { submitted: 0 }

  constructor(slot: number, rings: number) {
    this.#registers = VIRTIO_MMIO_BASE + slot * 0x1000
    this.rings = rings
  }

  /** The page that the device writes to. */
  get usedRing(): number {
    return this.rings + 0x2000
  }

  /** Virtio 1.2, section 4.2.3.1: reset to DRIVER_OK, with VIRTIO_F_VERSION_1 alone. */
  async start(puppet: Puppet): Promise<void> {
    const registers: readonly (readonly [number, number])[] = [
      [Register.Status, 0],
      [Register.Status, 1],
      [Register.Status, 3],
      [Register.DriverFeaturesSel, 1],
      [Register.DriverFeatures, 1],
      [Register.Status, 11],
      [Register.QueueSel, 0],
      [Register.QueueNum, QUEUE_SIZE],
      [Register.QueueDescLow, this.rings],
      [Register.QueueDriverLow, this.rings + 0x1000],
      [Register.QueueDeviceLow, this.usedRing],
      [Register.QueueReady, 1],
      [Register.Status, 15],
    ]
    for (const [register, value] of registers) await puppet.store(this.#registers + register, value)
  }

  /**
   * Makes one buffer available, notifies, and waits until the device has used it.
   * @param written told of every word that the guest writes to memory for it: address and value
   */
  async submit(
    puppet: Puppet,
    buffer: { readonly address: number; readonly length: number; readonly deviceWrites: boolean },
    written: (address: number, value: number) => void,
  ): Promise<void> {
    const slot = this.position.submitted % QUEUE_SIZE
    const submitted = this.position.submitted + 1
    const descriptor = this.rings + slot * 16
    const words: readonly (readonly [number, number])[] = [
      [descriptor, buffer.address],
      [descriptor + 4, 0],
      [descriptor + 8, buffer.length],
      [descriptor + 12, buffer.deviceWrites ? WRITE : 0],
      // Two entries of the available ring share a word; every entry is its own number.
      [this.rings + 0x1000 + 4 + (slot & ~1) * 2, (slot & ~1) | ((slot | 1) << 16)],
      [this.rings + 0x1000, submitted << 16],
    ]
    for (const [address, value] of words) {
      await puppet.store(address, value)
      written(address, value >>> 0)
    }
    await puppet.store(this.#registers + Register.QueueNotify, 0)
    while ((await puppet.readByte(this.usedRing + 2)) !== (submitted & 0xff));
    this.position = { submitted }
  }
}
