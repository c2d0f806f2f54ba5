/** Numbers of the virtio 1.2 specification, by its names. */

/** Device status bits, virtio 1.2 section 2.1. */
export const ACKNOWLEDGE = 1
export const DRIVER = 2
export const DRIVER_OK = 4
export const FEATURES_OK = 8
export const DEVICE_NEEDS_RESET = 64
export const FAILED = 128

/** Reserved feature bits, virtio 1.2 section 6. */
export const VIRTIO_F_INDIRECT_DESC = 1n << 28n
export const VIRTIO_F_EVENT_IDX = 1n << 29n
export const VIRTIO_F_VERSION_1 = 1n << 32n

/** Descriptor flags, virtio 1.2 section 2.7.5. */
export const VIRTQ_DESC_F_NEXT = 1
export const VIRTQ_DESC_F_WRITE = 2
export const VIRTQ_DESC_F_INDIRECT = 4

/** Flag of the available ring, virtio 1.2 section 2.7.6. */
export const VIRTQ_AVAIL_F_NO_INTERRUPT = 1

/** Bits of InterruptStatus and InterruptACK, virtio 1.2 section 4.2.2. */
export const INTERRUPT_USED_BUFFER = 1
export const INTERRUPT_CONFIGURATION_CHANGE = 2

/** Device types, virtio 1.2 section 5. */
export const DEVICE_TYPE_CONSOLE = 3
export const DEVICE_TYPE_ENTROPY = 4

/** "virt", little endian. */
export const MMIO_MAGIC = 0x74726976
export const MMIO_VERSION = 2
/** "CRYO", little endian. */
export const MMIO_VENDOR = 0x4f595243

/** Registers of a virtio-mmio device, virtio 1.2 section 4.2.2. */
export const Register = {
  MagicValue: 0x000,
  Version: 0x004,
  DeviceID: 0x008,
  VendorID: 0x00c,
  DeviceFeatures: 0x010,
  DeviceFeaturesSel: 0x014,
  DriverFeatures: 0x020,
  DriverFeaturesSel: 0x024,
  QueueSel: 0x030,
  QueueNumMax: 0x034,
  QueueNum: 0x038,
  QueueReady: 0x044,
  QueueNotify: 0x050,
  InterruptStatus: 0x060,
  InterruptACK: 0x064,
  Status: 0x070,
  QueueDescLow: 0x080,
  QueueDescHigh: 0x084,
  QueueDriverLow: 0x090,
  QueueDriverHigh: 0x094,
  QueueDeviceLow: 0x0a0,
  QueueDeviceHigh: 0x0a4,
  SHMSel: 0x0ac,
  SHMLenLow: 0x0b0,
  SHMLenHigh: 0x0b4,
  SHMBaseLow: 0x0b8,
  SHMBaseHigh: 0x0bc,
  QueueReset: 0x0c0,
  ConfigGeneration: 0x0fc,
  Config: 0x100,
} as const

/** Bytes of address space a virtio-mmio device takes. */
export const MMIO_SIZE = 0x1000
