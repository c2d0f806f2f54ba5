/** What a virtio device counts, apart from what its model counts. */
export interface VirtioMetrics {
  /** Queue notifications served. */
  notifications: number
  /** Interrupts raised, and those that the driver did not want. */
  interrupts: number
  interruptsSuppressed: number
  /** Turns of a queue that ended with its budget and were continued in a later turn of the event loop. */
  continuations: number
  /** Register writes ignored for coming at the wrong time, to a read-only register, or with a senseless value. */
  ignoredWrites: number
  /** Register accesses that are not of four aligned bytes. */
  badAccesses: number
  /** FEATURES_OK not granted. */
  featuresRefused: number
  /** Resets by the driver. */
  resets: number
  /** Times the device asked to be reset, and the last reason. */
  faults: number
  lastFault: string
}

export const makeVirtioMetrics = (): VirtioMetrics => ({
  notifications: 0,
  interrupts: 0,
  interruptsSuppressed: 0,
  continuations: 0,
  ignoredWrites: 0,
  badAccesses: 0,
  featuresRefused: 0,
  resets: 0,
  faults: 0,
  lastFault: "",
})
