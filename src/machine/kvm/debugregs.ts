/** `struct kvm_debugregs`: DR0-DR3, DR6, DR7 (KVM_GET_DEBUGREGS). */
import { array, reserved, structure, u64 } from "./structure.ts"

export const KvmDebugregs = structure("kvm_debugregs", {
  db: array(u64, 4),
  dr6: u64,
  dr7: u64,
  flags: u64,
  reserved: reserved(72),
})
