// SPDX-License-Identifier: MIT
#pragma once

#include <aster/base/config.hpp>
#include <aster/io/address.hpp>
#include <aster/loop/event_loop.hpp>
#include <aster/task/future.hpp>

#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace aster::inline v0 {

class ThreadPoolExecutor;

/// Options of `getaddrinfo`, with the system's constants: AF_INET, SOCK_STREAM,
/// AI_PASSIVE … Zero: any.
struct GetaddrinfoOptions {
  int family = 0;
  int type = 0;
  int proto = 0;
  int flags = 0;
};

/// One answer of `getaddrinfo`.
struct AddressInfo {
  /// No address.
  AddressInfo() = default;
  /// All its members, in order.
  AddressInfo(int family_, int type_, int protocol_, std::string canonname_, Address address_)
      : family(family_),
        type(type_),
        protocol(protocol_),
        canonname(std::move(canonname_)),
        address(address_) {}

  int family = 0;
  int type = 0;
  int protocol = 0;
  std::string canonname;  ///< Empty unless AI_CANONNAME was asked for.
  Address address;
};

/// What `getnameinfo` found.
struct NameInfo {
  /// No names.
  NameInfo() = default;
  /// Both members.
  NameInfo(std::string host_, std::string service_)
      : host(std::move(host_)), service(std::move(service_)) {}

  std::string host;
  std::string service;
};

/// Looks up the addresses of `host` for a port, in the order in which the system
/// would try them; the counterpart of loop.getaddrinfo.
///
///     auto found = co_await getaddrinfo("example.org", 443, {.type = SOCK_STREAM});
///     connect_to(found.front().address);
///
/// A numeric host is answered at once; a name by a thread of the loop's own
/// resolver pool (at most 4), so that neither the loop nor the default executor
/// waits for a slow name server; or without threads, by c-ares, when the library was
/// built with `ASTER_WITH_CARES`. Cancelling abandons the look-up.
///
/// Throws at the call: ValueError for a name that is empty, longer than 253
/// characters or holds a NUL, and for an impossible port. The future fails with
/// `std::system_error` of `gai_category()`, "getaddrinfo example.org:443: …".
/// Thread rule: the running loop's thread; RuntimeError without one.
[[nodiscard]] ASTER_API Future<std::vector<AddressInfo>> getaddrinfo(
    std::string_view host, int port, GetaddrinfoOptions options = {});
/// The same with the name or number of a service; empty: port 0.
[[nodiscard]] ASTER_API Future<std::vector<AddressInfo>> getaddrinfo(
    std::string_view host, std::string_view service, GetaddrinfoOptions options = {});

/// The names of an IP address and its port, as far as `flags` (NI_NUMERICHOST …)
/// ask for names; the counterpart of loop.getnameinfo. Errors and threads as
/// `getaddrinfo`; ValueError for an address that is not IP.
[[nodiscard]] ASTER_API Future<NameInfo> getnameinfo(const Address& address, int flags = 0);

namespace detail {

/// What a look-up is asked; owns its texts, as it goes to another thread.
struct AddressQuery {
  AddressQuery(std::string_view host_, std::string_view service_, GetaddrinfoOptions options_)
      : host(host_), service(service_), options(options_) {}

  /// "example.org:443", for messages.
  [[nodiscard]] std::string str() const;

  std::string host;
  std::string service;  // A number or a name; not empty.
  GetaddrinfoOptions options;
};

/// Looks names up in the loop's own thread; c-ares, where the library was built with it.
/// One that goes while its loop is open fails the look-ups that it has not answered.
class ASTER_API AsyncResolver {
 public:
  AsyncResolver() noexcept = default;
  AsyncResolver(const AsyncResolver&) = delete;
  AsyncResolver& operator=(const AsyncResolver&) = delete;
  virtual ~AsyncResolver();
  [[nodiscard]] virtual Future<std::vector<AddressInfo>> getaddrinfo(const AddressQuery& query) = 0;
  [[nodiscard]] virtual Future<NameInfo> getnameinfo(const Address& address, int flags) = 0;
};

/// A loop's resolver: its pool, and for tests its table of hosts.
class ASTER_API ResolverService final : public EventLoop::Service {
 public:
  /// Gives the answer or throws; called on a thread of the pool, perhaps on several.
  using Lookup = std::function<std::vector<AddressInfo>(const AddressQuery&)>;

  explicit ResolverService(EventLoop& loop);
  ~ResolverService() override;
  /// Leaves look-ups that do not end to themselves and names them in a report.
  void close() noexcept override;

  /// Has `name` (in any case) resolve to `addresses`, whose ports do not matter, at
  /// once and without threads.
  void add_host(std::string_view name, std::vector<Address> addresses);
  /// Names outside of the table fail with EAI_NONAME instead of going to the system.
  void use_hosts_only() noexcept { hosts_only_ = true; }
  /// Replaces what asks the system for names.
  void set_lookup(Lookup lookup);
  /// Replaces what looks names up without threads; null: threads do it. What was asked
  /// of the one before fails with EAI_FAIL.
  void set_async_resolver(std::unique_ptr<AsyncResolver> resolver) noexcept {
    async_ = std::move(resolver);
  }

  [[nodiscard]] Future<std::vector<AddressInfo>> getaddrinfo(AddressQuery query);
  [[nodiscard]] Future<NameInfo> getnameinfo(const Address& address, int flags);

 private:
  class Running;  // The look-ups under way; shared with the threads.

  [[nodiscard]] ThreadPoolExecutor& pool();
  template <class R, class F>
  [[nodiscard]] Future<R> answer(F&& function);
  template <class F>
  [[nodiscard]] auto look_up(std::string what, F&& function);
  [[nodiscard]] std::vector<AddressInfo> from_table(const AddressQuery& query) const;

  EventLoop& loop_;
  std::map<std::string, std::vector<Address>> hosts_;  // By name in lower case.
  bool hosts_only_ = false;
  std::shared_ptr<const Lookup> lookup_;
  std::shared_ptr<Running> running_;
  std::unique_ptr<ThreadPoolExecutor> pool_;  // Made at the first name.
  std::unique_ptr<AsyncResolver> async_;      // Asked instead of threads, unless null.
};

}  // namespace detail
}  // namespace aster::inline v0
