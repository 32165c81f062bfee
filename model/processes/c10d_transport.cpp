// The one source that includes the headers of c10d and gloo.
#define USE_C10D_GLOO
#include "c10d_transport.h"

#include <fmt/format.h>

#include <cstdlib>
#include <torch/csrc/distributed/c10d/PrefixStore.hpp>
#include <torch/csrc/distributed/c10d/ProcessGroupGloo.hpp>
#include <torch/csrc/distributed/c10d/TCPStore.hpp>
#include <vector>

#include "regroup/base/error.h"
#include "regroup/base/printable.h"

namespace regroup {
namespace {

using Store = c10::intrusive_ptr<c10d::Store>;

class StorePlace final : public MeetingPlace {
 public:
  explicit StorePlace(Store store) : store_(std::move(store)) {}
  void set(const std::string& key, const std::string& value) override { store_->set(key, value); }
  std::optional<std::string> find(const std::string& key) override {
    if (!store_->check({key})) return std::nullopt;
    return store_->get_to_str(key);
  }
  const Store& store() const { return store_; }

 private:
  Store store_;
};

class GlooTransport final : public Transport {
 public:
  explicit GlooTransport(c10::intrusive_ptr<c10d::ProcessGroupGloo> group)
      : group_(std::move(group)) {}

  void all_reduce(const at::Tensor& values) override {
    std::vector<at::Tensor> all = {values};
    group_->allreduce(all)->wait();
  }
  void all_gather(const at::Tensor& whole, const at::Tensor& share) override {
    // As bytes: gloo does not know every dtype.
    at::Tensor to = whole.view(at::kByte);
    at::Tensor from = share.view(at::kByte);
    group_->_allgather_base(to, from)->wait();
  }
  void broadcast(const at::Tensor& values, int root) override {
    std::vector<at::Tensor> all = {values.flatten().view(at::kByte)};
    c10d::BroadcastOptions options;
    options.rootRank = root;
    group_->broadcast(all, options)->wait();
  }
  void barrier() override { group_->barrier()->wait(); }

 private:
  c10::intrusive_ptr<c10d::ProcessGroupGloo> group_;
};

[[noreturn]] void refuse_port(const Launch& launch, const std::string& reason) {
  throw ConfigError(
      {.code = "MASTER_PORT",
       .message = fmt::format("port {} must be free on the machine of rank 0, where {} processes "
                              "meet; it could not be opened: {}",
                              launch.port, launch.size, printable(reason, 200)),
       .hint = "choose another MASTER_PORT, or end the program that uses it"});
}

/// The interface of this machine that the others reach.
std::shared_ptr<gloo::transport::Device> device_of(const Launch& launch) {
  using Group = c10d::ProcessGroupGloo;
  if (launch.address == "127.0.0.1" || launch.address == "localhost") {
    return Group::createDeviceForHostname("127.0.0.1");
  }
  const char* interface = std::getenv("GLOO_SOCKET_IFNAME");
  return interface != nullptr ? Group::createDeviceForInterface(interface)
                              : Group::createDefaultDevice();
}

}  // namespace

std::unique_ptr<MeetingPlace> open_meeting_place(const Launch& launch,
                                                 std::chrono::milliseconds patience) {
  c10d::TCPStoreOptions options;
  options.port = static_cast<std::uint16_t>(launch.port);
  options.isServer = launch.rank == 0 && !launch.meets_at_agent;
  options.waitWorkers = false;
  options.timeout = patience;
  try {
    const auto store = c10::make_intrusive<c10d::TCPStore>(launch.address, options);
    return std::make_unique<StorePlace>(
        c10::make_intrusive<c10d::PrefixStore>("regroup/" + launch.run, store));
  } catch (const std::exception& error) {
    const std::string what = error.what();
    if (options.isServer) refuse_port(launch, what.substr(0, what.find('\n')));
    return nullptr;
  }
}

std::unique_ptr<Transport> connect_processes(MeetingPlace& place, const Launch& launch,
                                             std::chrono::milliseconds timeout) {
  const Store store =
      c10::make_intrusive<c10d::PrefixStore>("gloo", dynamic_cast<StorePlace&>(place).store());
  store->setTimeout(timeout);
  const auto options = c10d::ProcessGroupGloo::Options::create(timeout);
  options->devices = {device_of(launch)};
  return std::make_unique<GlooTransport>(
      c10::make_intrusive<c10d::ProcessGroupGloo>(store, launch.rank, launch.size, options));
}

}  // namespace regroup
