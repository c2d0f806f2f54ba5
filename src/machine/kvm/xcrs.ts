/** `struct kvm_xcrs`: the extended control registers, of which there is one, XCR0 (KVM_GET_XCRS). */
import { array, reserved, structure, u32, u64 } from "./structure.ts"

const KvmXcr = structure("kvm_xcr", { xcr: u32, reserved: reserved(4), value: u64 })

/** The first `nrXcrs` entries count. */
export const KvmXcrs = structure("kvm_xcrs", {
  nrXcrs: u32,
  flags: u32,
  xcrs: array(KvmXcr, 16),
  padding: reserved(128),
})
