/** Numbers of the traditional memory balloon device, virtio 1.2 section 5.5. */

export const DEVICE_TYPE_BALLOON = 5

/** Feature bits, section 5.5.3. VIRTIO_BALLOON_F_MUST_TELL_HOST (0) and F_PAGE_POISON (4) are never offered. */
export const VIRTIO_BALLOON_F_STATS_VQ = 1n << 1n
export const VIRTIO_BALLOON_F_DEFLATE_ON_OOM = 1n << 2n
export const VIRTIO_BALLOON_F_FREE_PAGE_HINT = 1n << 3n
export const VIRTIO_BALLOON_F_PAGE_REPORTING = 1n << 5n

/** Command ids of free page hinting, section 5.5.6.5; every other one is a run. */
export const VIRTIO_BALLOON_CMD_ID_STOP = 0
export const VIRTIO_BALLOON_CMD_ID_DONE = 1
export const FIRST_RUN_ID = 2

/** Balloon pages have 4 KiB on every architecture. */
export const BALLOON_PAGE_SIZE = 4096
export const PAGES_A_MIB = 256
