/**
 * `struct kvm_xsave`: x87, SSE, AVX and later state in the XSAVE format (Intel SDM, volume 1, chapter 13). Kept as bytes;
 * their layout is what CPUID leaf 0xD tells.
 */
import * as Schema from "effect/Schema"
import { KvmStructureInvalid } from "./structure.ts"

/** Without dynamic features KVM gives one page; with AMX tiles it is some 11 KiB. */
export const XSAVE_MIN_SIZE = 4096
export const XSAVE_MAX_SIZE = 65536

const fits = (bytes: Uint8Array): boolean =>
  bytes.length >= XSAVE_MIN_SIZE && bytes.length <= XSAVE_MAX_SIZE && bytes.length % 4 === 0

/** Size as checked on the wire. */
export const XsaveBytes = Schema.Uint8Array.check(
  Schema.makeFilter(
    (bytes: Uint8Array) => fits(bytes) || `expected 4 KiB to 64 KiB of XSAVE state, got ${bytes.length}`,
    { description: "4 KiB to 64 KiB, whole words" },
  ),
)

/**
 * The state in the size that the destination's KVM takes: filled up with zeros, or without a tail that is zero.
 * @throws KvmStructureInvalid where state would be cut off
 */
export const fitXsave = (state: Uint8Array, size: number): Uint8Array => {
  if (state.length === size) return state
  if (state.subarray(size).some((byte) => byte !== 0)) {
    throw new KvmStructureInvalid({
      message: `the saved XSAVE state takes ${state.length} bytes, but this host's KVM holds only ${size}; restore on a host with the processor features of the one it was saved on`,
      structure: "kvm_xsave",
    })
  }
  const fitted = new Uint8Array(size)
  fitted.set(state.subarray(0, size))
  return fitted
}
