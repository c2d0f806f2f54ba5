/** Builds what is in C and assembly, and says where it lies. */
import { execFileSync } from "node:child_process"
import { join } from "node:path"
import { fileURLToPath } from "node:url"

/** The checkout. */
const root = fileURLToPath(new URL("../..", import.meta.url))
const output = fileURLToPath(new URL("./build", import.meta.url))

const installScript = join(root, "scripts/install-debian-packages.sh")

/** The C program that does what cryovm does. */
export const floorProgram = join(output, "floor")
/** The kernel of guest/guest.S. */
export const guestKernel = join(output, "guest.elf")
/** See qemu/send-fd.c. */
export const sendFdProgram = join(output, "send-fd")

/** Installs, as root on Debian, what a benchmark can use beyond what the project needs. */
export const installPackages = (): void => {
  execFileSync("bash", [installScript, "--bench"], { stdio: ["ignore", 2, 2] })
}

export const build = (): void => {
  execFileSync("make", ["-s", "--no-print-directory", "-C", join(root, "bench"), `OUT=${output}`], {
    stdio: ["ignore", 2, 2],
  })
}
