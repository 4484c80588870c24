// The INIT exchange: what the kernel offers, what we ask for, and why.
#pragma once

#include <cstdint>
#include <string>

#include "fuse/device.h"
#include "fuse/protocol.h"

namespace podfs {

// The largest request a read through the page cache makes.
inline constexpr uint32_t kReadaheadBytes = 1 << 20;

struct NegotiationOptions {
  bool passthrough = false;
  uint32_t max_stack_depth = 1;
  uint32_t max_write_bytes = 1 << 20;
  bool read_only = false;
};

struct Negotiated {
  uint32_t protocol_minor = 0;
  uint32_t max_write_bytes = 0;
  bool passthrough = false;
  std::string passthrough_reason;  // Empty with passthrough.
};

// Fills in the reply to an INIT of `body_bytes`. 0, or -EPROTO for a kernel that is too old. `out->major` above
// the kernel's means that it will ask again.
int NegotiateInit(const void* body, size_t body_bytes, const NegotiationOptions& options, InitOut* out,
                  Negotiated* negotiated);

// After the reply is out: registers a scratch file, since the kernel's offer says nothing about our rights.
void TryPassthrough(const Device& device, Negotiated* negotiated);

}  // namespace podfs
