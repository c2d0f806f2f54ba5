// The structures of the KVM API as raw bytes, by name.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "arguments.h"

namespace cryovm {

std::vector<uint8_t> GetVcpuStructure(int vm, int vcpu, const std::string& name);
void SetVcpuStructure(int vm, int vcpu, const std::string& name, Bytes bytes);

std::vector<uint8_t> GetVmStructure(int vm, const std::string& name);
void SetVmStructure(int vm, const std::string& name, Bytes bytes);

// Name of the ioctl that gets or sets it, for errors; refuses a name that is not known.
const char* VcpuOperation(const std::string& name, bool set);
const char* VmOperation(const std::string& name, bool set);

}  // namespace cryovm
