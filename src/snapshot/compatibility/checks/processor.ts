import type { Check } from "./check.ts"

const signature = ({ family, model, stepping }: { family: number; model: number; stepping: number }): string =>
  `family ${family}, model ${model}, stepping ${stepping}`

/** Kernels choose instructions and work around errata by the vendor, and less gravely by the model, they boot on. */
export const checkProcessor: Check = ({ vcpu }, { cpu }) => {
  if (vcpu === null || cpu.vendor === "" || vcpu.processor.vendor === "") return []
  const shown = vcpu.processor
  if (shown.vendor !== cpu.vendor) {
    return [
      {
        code: "cpu-vendor",
        severity: "blocker",
        subject: "processor vendor",
        expected: shown.vendor,
        actual: cpu.vendor,
        remedy: `restore on a host with a processor of ${shown.vendor}`,
      },
    ]
  }
  if (signature(shown) === signature(cpu)) return []
  return [
    {
      code: "cpu-model",
      severity: "care",
      subject: "processor model",
      expected: signature(shown),
      actual: signature(cpu),
      remedy:
        "the guest goes on with what it knows of its first processor, such as errata; boot anew where that matters",
    },
  ]
}
