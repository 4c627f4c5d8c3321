// SPDX-License-Identifier: MIT
// Names by c-ares: it says which of its sockets it waits for, and is called when one of
// them is ready or its time is up. No threads; a cancelled look-up runs on and its answer
// is dropped, as c-ares cannot end a single one.
#include "io/resolve_cares.hpp"

#include <aster/base/error.hpp>

#include <ares.h>
#include <netdb.h>
#include <netinet/in.h>
#include <sys/socket.h>

#include <chrono>
#include <mutex>
#include <system_error>
#include <utility>
#include <vector>

namespace aster::inline v0::detail {
namespace {

int gai_of(int status) noexcept {
  switch (status) {
    case ARES_ENODATA:
    case ARES_ENOTFOUND:
    case ARES_EBADNAME:
    case ARES_ENONAME:
      return EAI_NONAME;
    case ARES_ETIMEOUT:
    case ARES_ECONNREFUSED:
    case ARES_ESERVFAIL:
      return EAI_AGAIN;
    case ARES_ENOMEM:
      return EAI_MEMORY;
    case ARES_ESERVICE:
      return EAI_SERVICE;
    case ARES_EBADFAMILY:
    case ARES_ENOTIMP:
      return EAI_FAMILY;
    case ARES_EBADFLAGS:
    case ARES_EBADHINTS:
      return EAI_BADFLAGS;
    default:
      return EAI_FAIL;
  }
}

int ares_flags(int flags) noexcept {
  return ((flags & AI_CANONNAME) != 0 ? ARES_AI_CANONNAME : 0) |
         ((flags & AI_NUMERICHOST) != 0 ? ARES_AI_NUMERICHOST : 0) |
         ((flags & AI_PASSIVE) != 0 ? ARES_AI_PASSIVE : 0) |
         ((flags & AI_NUMERICSERV) != 0 ? ARES_AI_NUMERICSERV : 0) |
         ((flags & AI_ADDRCONFIG) != 0 ? ARES_AI_ADDRCONFIG : 0);
}

int ares_name_flags(int flags) noexcept {
  return ARES_NI_LOOKUPHOST | ARES_NI_LOOKUPSERVICE |
         ((flags & NI_NOFQDN) != 0 ? ARES_NI_NOFQDN : 0) |
         ((flags & NI_NUMERICHOST) != 0 ? ARES_NI_NUMERICHOST : 0) |
         ((flags & NI_NAMEREQD) != 0 ? ARES_NI_NAMEREQD : 0) |
         ((flags & NI_NUMERICSERV) != 0 ? ARES_NI_NUMERICSERV : 0) |
         ((flags & NI_DGRAM) != 0 ? ARES_NI_DGRAM : 0);
}

class CaresResolver final : public AsyncResolver {
 public:
  CaresResolver(EventLoop& loop, const std::string& servers);
  ~CaresResolver() override;

  Future<std::vector<AddressInfo>> getaddrinfo(const AddressQuery& query) override;
  Future<NameInfo> getnameinfo(const Address& address, int flags) override;

 private:
  // One look-up; owned by c-ares until it answers.
  template <class T>
  struct Asked {
    Asked(CaresResolver& owner_, std::string what_, int type_)
        : owner(owner_),
          what(std::move(what_)),
          type(type_),
          future(owner.loop_.create_future<T>()) {}

    template <class Make>
    void settle(int status, Make make) noexcept {
      if (future.done() || owner.loop_.is_closed()) return;  // Cancelled, or nobody is left.
      try {
        if (owner.closing_) {
          throw std::system_error(EAI_FAIL, gai_category(), what + ": the resolver was replaced");
        }
        if (status != ARES_SUCCESS) throw std::system_error(gai_of(status), gai_category(), what);
        future.set_result(make());
      } catch (...) {
        future.set_exception(std::current_exception());
      }
    }

    CaresResolver& owner;
    std::string what;
    int type;  // SOCK_STREAM …; 0: any.
    Future<T> future;
  };
  using AskedAddresses = Asked<std::vector<AddressInfo>>;
  using AskedName = Asked<NameInfo>;

  static std::vector<AddressInfo> convert(const ares_addrinfo& found, int wanted);
  void watch(ares_socket_t fd, bool reads, bool writes);
  void process(ares_socket_t readable, ares_socket_t writable);
  void arm();

  EventLoop& loop_;
  ares_channel channel_ = nullptr;
  TimerHandle timer_;  // For c-ares's own time-outs.
  bool closing_ = false;
};

CaresResolver::CaresResolver(EventLoop& loop, const std::string& servers) : loop_(loop) {
  static std::once_flag once;
  std::call_once(once, [] { ares_library_init(ARES_LIB_INIT_ALL); });
  ares_options options{};
  options.sock_state_cb = [](void* self, ares_socket_t fd, int reads, int writes) {
    static_cast<CaresResolver*>(self)->watch(fd, reads != 0, writes != 0);
  };
  options.sock_state_cb_data = this;
  int status = ares_init_options(&channel_, &options, ARES_OPT_SOCK_STATE_CB);
  if (status == ARES_SUCCESS && !servers.empty()) {
    status = ares_set_servers_ports_csv(channel_, servers.c_str());
    if (status != ARES_SUCCESS) ares_destroy(channel_);
  }
  if (status != ARES_SUCCESS) {
    throw std::system_error(gai_of(status), gai_category(),
                            std::string("c-ares: ") + ares_strerror(status));
  }
}

CaresResolver::~CaresResolver() {
  closing_ = true;
  timer_.cancel();
  ares_destroy(channel_);  // Answers what is open and closes its sockets.
}

Future<std::vector<AddressInfo>> CaresResolver::getaddrinfo(const AddressQuery& query) {
  ares_addrinfo_hints hints{};
  hints.ai_flags = ares_flags(query.options.flags);
  hints.ai_family = query.options.family;
  hints.ai_socktype = query.options.type;
  hints.ai_protocol = query.options.proto;
  auto asked =
      std::make_unique<AskedAddresses>(*this, "getaddrinfo " + query.str(), query.options.type);
  Future<std::vector<AddressInfo>> future = asked->future;
  ares_getaddrinfo(
      channel_, query.host.c_str(), query.service.c_str(), &hints,
      [](void* arg, int status, int, ares_addrinfo* found) {
        const std::unique_ptr<AskedAddresses> self(static_cast<AskedAddresses*>(arg));
        const std::unique_ptr<ares_addrinfo, void (*)(ares_addrinfo*)> list(found,
                                                                            &ares_freeaddrinfo);
        self->settle(status, [&] { return convert(*list, self->type); });
      },
      asked.release());
  arm();
  return future;
}

Future<NameInfo> CaresResolver::getnameinfo(const Address& address, int flags) {
  auto asked = std::make_unique<AskedName>(*this, "getnameinfo " + address.str(), 0);
  Future<NameInfo> future = asked->future;
  ares_getnameinfo(
      channel_, static_cast<const sockaddr*>(address.data()), address.size(),
      ares_name_flags(flags),
      [](void* arg, int status, int, char* host, char* service) {
        const std::unique_ptr<AskedName> self(static_cast<AskedName*>(arg));
        self->settle(status, [&] {
          return NameInfo(host != nullptr ? host : "", service != nullptr ? service : "");
        });
      },
      asked.release());
  arm();
  return future;
}

std::vector<AddressInfo> CaresResolver::convert(const ares_addrinfo& found, int wanted) {
  std::vector<AddressInfo> all;
  const std::string canonical = found.name != nullptr ? found.name : "";
  for (const ares_addrinfo_node* node = found.nodes; node != nullptr; node = node->ai_next) {
    const Address address = Address::from_native(node->ai_addr, node->ai_addrlen);
    // c-ares does not tell the kinds of sockets apart; the system would.
    for (const auto& [type, protocol] :
         {std::pair(SOCK_STREAM, IPPROTO_TCP), std::pair(SOCK_DGRAM, IPPROTO_UDP)}) {
      if (wanted != 0 && wanted != type) continue;
      all.emplace_back(node->ai_family, type, protocol, all.empty() ? canonical : "", address);
    }
  }
  return all;
}

// c-ares waits for other events of a socket of its own; for none before it closes it.
void CaresResolver::watch(ares_socket_t fd, bool reads, bool writes) {
  try {
    if (reads && !closing_) {
      loop_.add_reader(fd, [this, fd] { process(fd, ARES_SOCKET_BAD); });
    } else {
      loop_.remove_reader(fd);
    }
    if (writes && !closing_) {
      loop_.add_writer(fd, [this, fd] { process(ARES_SOCKET_BAD, fd); });
    } else {
      loop_.remove_writer(fd);
    }
  } catch (...) {
    // Without the event c-ares's own time-out ends the look-up.
  }
}

void CaresResolver::process(ares_socket_t readable, ares_socket_t writable) {
  ares_process_fd(channel_, readable, writable);
  arm();
}

void CaresResolver::arm() {
  timer_.cancel();
  timeval buffer{};
  const timeval* const left = ares_timeout(channel_, nullptr, &buffer);
  if (left == nullptr) return;
  const auto delay = std::chrono::seconds(left->tv_sec) + std::chrono::microseconds(left->tv_usec);
  timer_ = loop_.call_later(delay, [this] { process(ARES_SOCKET_BAD, ARES_SOCKET_BAD); });
}

}  // namespace

std::unique_ptr<AsyncResolver> make_cares_resolver(EventLoop& loop, const std::string& servers) {
  return std::make_unique<CaresResolver>(loop, servers);
}

}  // namespace aster::inline v0::detail
