import * as Data from "effect/Data"

/** A balloon target is not a whole number of 4 KiB pages between nothing and all of the guest's memory. */
export class BalloonTargetInvalid extends Data.TaggedError("BalloonTargetInvalid")<{
  readonly message: string
  readonly device: string
  readonly targetMib: number
  /** The guest's memory: the largest target. */
  readonly memoryMib: number
}> {
  readonly code = "CRYOVM_BALLOON_TARGET_INVALID"
}

/** A polling interval is neither 0 nor within the limits. */
export class BalloonIntervalInvalid extends Data.TaggedError("BalloonIntervalInvalid")<{
  readonly message: string
  readonly device: string
  readonly seconds: number
}> {
  readonly code = "CRYOVM_BALLOON_INTERVAL_INVALID"
}

/** Something was asked of a balloon that it was not made for, or that the guest's driver did not take. */
export class BalloonFeatureMissing extends Data.TaggedError("BalloonFeatureMissing")<{
  readonly message: string
  readonly device: string
  readonly feature: "statistics" | "freePageHinting"
  /** `configuration`: the machine was made without it. `driver`: the guest's driver does not know it. */
  readonly missingIn: "configuration" | "driver"
}> {
  readonly code = "CRYOVM_BALLOON_FEATURE_MISSING"
}

/** Something was asked of a balloon that needs the guest's driver, which is not there. */
export class BalloonInactive extends Data.TaggedError("BalloonInactive")<{
  readonly message: string
  readonly device: string
}> {
  readonly code = "CRYOVM_BALLOON_INACTIVE"
}

/** The marks or limits of the policy contradict each other. */
export class BalloonPolicyInvalid extends Data.TaggedError("BalloonPolicyInvalid")<{
  readonly message: string
}> {
  readonly code = "CRYOVM_BALLOON_POLICY_INVALID"
}
