#include "staging/cuda_driver.h"

#include <cstring>

#include "test.h"

namespace podfs::staging {

namespace {

CudaFunctions TwoDevices() {
  CudaFunctions functions;
  functions.device_get_count = [](int* count) {
    *count = 2;
    return 0;
  };
  functions.device_get = [](CudaDeviceHandle* device, int ordinal) {
    *device = ordinal + 100;
    return 0;
  };
  functions.device_get_uuid = [](CudaUuid* uuid, CudaDeviceHandle device) {
    for (size_t i = 0; i < sizeof(uuid->bytes); ++i) uuid->bytes[i] = static_cast<unsigned char>(i * 16 + 1);
    return device == 100 ? 0 : 999;
  };
  functions.device_get_name = [](char* name, int, CudaDeviceHandle) {
    strcpy(name, "NVIDIA X1");
    return 0;
  };
  functions.device_total_mem = [](size_t* bytes, CudaDeviceHandle) {
    *bytes = 80ull << 30;
    return 0;
  };
  functions.device_get_pci_bus_id = [](char* id, int, CudaDeviceHandle) {
    strcpy(id, "FFFF:00:00.0");
    return 0;
  };
  functions.get_error_name = [](CudaResult result, const char** name) {
    *name = "CUDA_ERROR_OUT_OF_MEMORY";
    return result == 2 ? 0 : 1;
  };
  functions.get_error_string = [](CudaResult result, const char** text) {
    *text = "out of memory";
    return result == 2 ? 0 : 1;
  };
  return functions;
}

}  // namespace

TEST(CudaDriverSaysWhyThereIsNone) {
  std::string reason;
  EXPECT(CudaDriver::Load("libno-such-driver.so.1", &reason) == nullptr);
  EXPECT(reason.starts_with("no CUDA driver: libno-such-driver.so.1: cannot open shared object file"));
  EXPECT(reason.find('\n') == std::string::npos);
}

TEST(CudaDriverRefusesALibraryThatLacksAFunction) {
  std::string reason;
  EXPECT(CudaDriver::Load("libc.so.6", &reason) == nullptr);
  EXPECT(reason == "the CUDA driver is too old: libc.so.6 has no cuInit");
}

TEST(CudaDriverListsDevicesThatAnswer) {
  const CudaDriver driver(TwoDevices());
  const std::vector<CudaDeviceInfo> devices = driver.Devices();
  EXPECT(devices.size() == 1);
  EXPECT(devices[0].ordinal == 0);
  EXPECT(devices[0].uuid == "GPU-01112131-4151-6171-8191-a1b1c1d1e1f1");
  EXPECT(devices[0].name == "NVIDIA X1");
  EXPECT(devices[0].total_bytes == 80ull << 30);
  EXPECT(devices[0].numa_node == -1);
}

TEST(CudaDriverDescribesResults) {
  const CudaDriver driver(TwoDevices());
  EXPECT(driver.Describe(2) == "CUDA_ERROR_OUT_OF_MEMORY (2): out of memory");
  EXPECT(driver.Describe(12345) == "CUDA error (12345): unknown to this driver");
}

}  // namespace podfs::staging
