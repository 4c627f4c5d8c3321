// SPDX-License-Identifier: MIT
// TLS with programs that others have written, in both roles; those that are not installed
// are skipped.
#include "net/programs_fixture.hpp"
#include "net/tls_fixture.hpp"
#include "support/kept_port.hpp"

#include <sys/socket.h>

namespace aster::net_tests {
namespace {

using ::testing::EndsWith;
using ::testing::HasSubstr;

class TlsProgramsSlow : public Programs {
 protected:
  TlsProgramsSlow()
      : root(write_file("root.pem", test_root().cert())),
        cert(write_file("cert.pem", test_cert().chain)),
        key(write_file("key.pem", test_cert().key)) {}

  /// Serves what `handler` does, has `runner` run a command whose "PORT" stands for the port,
  /// and gives what that has written.
  template <class Handler, class Runner>
  Coroutine<std::string> serve(const SSLContext& context, Handler handler, std::string command,
                               Runner runner) {
    ServerOptions options;
    options.ssl = &context;
    Server server = co_await start_server(handler, "127.0.0.1", 0, options);
    const std::string port = std::to_string(server.sockets().front().getsockname().port());
    for (std::size_t at = 0; (at = command.find("PORT", at)) != std::string::npos;) {
      command.replace(at, 4, port);
    }
    std::string output = co_await runner(std::move(command));
    server.close();
    co_await server.wait_closed();
    co_return output;
  }
  template <class Handler>
  Coroutine<std::string> serve(const SSLContext& context, Handler handler, std::string command) {
    return serve(context, std::move(handler), std::move(command), shell);
  }

  /// What to write to a program, and what it then writes before more is written.
  struct Exchange {
    std::string_view line;
    std::string_view answer;
  };
  /// Runs a command that says so much, closes its input, and gives its whole output.
  static Coroutine<std::string> converse(std::string command, std::vector<Exchange> exchanges) {
    command += " 2>&1";
    Process program = co_await create_subprocess_shell(command, {.stdin_ = PIPE, .stdout_ = PIPE});
    std::string output;
    for (const Exchange& exchange : exchanges) {
      program.stdin_()->write(exchange.line);
      output += co_await program.stdout_()->readuntil(exchange.answer);
    }
    program.stdin_()->close();
    output += co_await program.stdout_()->read();
    static_cast<void>(co_await program.wait());
    co_return output;
  }

  /// A server that is a program of others, and a connection to it.
  struct Dialled {
    Dialled(Task<std::string> server, Connection connection)
        : running(std::move(server)), link(std::move(connection)) {}
    Task<std::string> running;
    Connection link;
  };

  /// Runs the server that `start(port)` gives, which sets SO_REUSEADDR, and connects to it as
  /// soon as it listens.
  template <class Start>
  static Coroutine<Dialled> dial(Start start, ConnectOptions options) {
    const support::KeptPort port(get_running_loop().backend(), "::");
    Task<std::string> running = start(port.number());
    for (int tries = 1; !running.done(); ++tries) {
      auto connecting = outcome(open_connection("127.0.0.1", port.number(), options));
      auto link = co_await std::move(connecting);
      // The last error is the test's.
      if (link.has_value() || tries == 1000) {
        co_return Dialled(std::move(running), std::move(link).value());
      }
      co_await sleep(10ms);
    }
    const std::string output = co_await std::move(running);
    throw std::runtime_error("a server ends at once: " + output);
  }

  /// Runs a server, until `stop`.
  Task<std::string> start(const std::string& command) {
    return create_task(
        shell("timeout 60 " + command + " >/dev/null 2>&1 & echo $! > " + path("job") + "; wait"));
  }
  Coroutine<> stop(Task<std::string> running) {
    static_cast<void>(co_await shell("kill $(cat " + path("job") + ")"));
    static_cast<void>(co_await std::move(running));
  }

  std::string root;
  std::string cert;
  std::string key;
};

INSTANTIATE_TEST_SUITE_P(Systems, TlsProgramsSlow, ::testing::ValuesIn(real_systems()), name_of);

/// Sends a line back, and closes.
Coroutine<> echo_line(StreamReader reader, StreamWriter writer) {
  const std::string line = co_await reader.readline();
  writer.write(line);
  writer.close();
  static_cast<void>(co_await outcome(detail::as_coroutine(writer.wait_closed())));
}

/// Sends back all that comes, until the end.
Coroutine<> echo_all(StreamReader reader, StreamWriter writer) {
  while (true) {
    const std::string_view piece = co_await reader.read_view(65536);
    if (piece.empty()) break;
    writer.write(piece);
    co_await writer.drain();
  }
}

constexpr std::size_t bulk_size = std::size_t{100} << 20U;

/// Sends `bulk_size` bytes back to whoever has sent them.
Coroutine<> echo_bulk(StreamReader reader, StreamWriter writer) {
  for (std::size_t count = 0; count < bulk_size;) {
    const std::string_view piece = co_await reader.read_view(65536);
    if (piece.empty()) break;
    count += piece.size();
    writer.write(piece);
    co_await writer.drain();
  }
  writer.close();
  static_cast<void>(co_await outcome(detail::as_coroutine(writer.wait_closed())));
}

/// Sends `data` and reads as much back at the same time.
Coroutine<std::string> exchange(Connection& link, const std::string& data) {
  auto sending = create_task([&]() -> Coroutine<> {
    for (std::size_t at = 0; at < data.size(); at += 65536) {
      link.writer.write(std::string_view(data).substr(at, 65536));
      co_await link.writer.drain();
    }
  });
  std::string received = co_await link.reader.readexactly(data.size());
  co_await std::move(sending);
  co_return received;
}

TEST_P(TlsProgramsSlow, OpensslConnectsToUs) {
  if (!has("openssl")) GTEST_SKIP() << "openssl is not installed";
  const auto test = [this]() -> Coroutine<> {
    SSLContext context = server_context();
    context.set_alpn_protocols({"h2"});
    const std::string client =
        "timeout 20 openssl s_client -connect 127.0.0.1:PORT -CAfile " + root +
        " -verify_return_error -servername localhost -verify_hostname localhost ";
    for (const char* version : {"-tls1_2", "-tls1_3"}) {
      const std::string echoed =
          co_await serve(context, echo_line, "echo hello | " + client + version + " -quiet");
      EXPECT_THAT(echoed, EndsWith("hello\n"));
      const std::string facts =
          co_await serve(context, echo_line,
                         "echo hello | " + client + version + " -alpn h2 -nocommands -ign_eof");
      EXPECT_THAT(facts, HasSubstr("ALPN protocol: h2"));
      EXPECT_THAT(facts, HasSubstr("Verify return code: 0 (ok)"));
      EXPECT_THAT(facts, HasSubstr("Secure Renegotiation IS"));
      const std::string session = path("session");
      co_await serve(context, echo_line,
                     "echo hello | " + client + version + " -quiet -sess_out " + session);
      const std::string again = co_await serve(
          context, echo_line, "echo hello | " + client + version + " -ign_eof -sess_in " + session);
      EXPECT_THAT(again, HasSubstr("Reused, TLSv1."));
    }
    const std::string old = co_await serve(
        context, echo_line, "echo hello | " + client + "-tls1_1 -cipher ALL:@SECLEVEL=0");
    EXPECT_THAT(old, HasSubstr("[status"));
    EXPECT_EQ(old.find("hello"), std::string::npos);
    // New keys, asked for and given. A command is a line that is read alone.
    const auto commands = [](std::string command) {
      std::vector<Exchange> exchanges{
          {"k\n", "KEYUPDATE\n"}, {"one\n", "one\n"}, {"K\n", "KEYUPDATE\n"}, {"two\n", "two\n"}};
      return converse(std::move(command), std::move(exchanges));
    };
    const std::string updated = co_await serve(context, echo_all, client + "-tls1_3", commands);
    EXPECT_THAT(updated, HasSubstr("KEYUPDATE\none\n"));
    EXPECT_THAT(updated, HasSubstr("KEYUPDATE\ntwo\n"));
  };
  run(test());
}

TEST_P(TlsProgramsSlow, WeConnectToOpenssl) {
  if (!has("openssl")) GTEST_SKIP() << "openssl is not installed";
  const auto test = [this]() -> Coroutine<> {
    SSLContext context = client_context();
    context.set_alpn_protocols({"http/1.1"});
    for (const char* version : {"-tls1_2", "-tls1_3"}) {
      const auto server = [&](int port) {
        return create_task(shell("timeout 20 openssl s_server -accept " + std::to_string(port) +
                                 " -cert " + cert + " -key " + key +
                                 " -rev -quiet -naccept 1 -alpn http/1.1 " + version));
      };
      ConnectOptions options;
      options.ssl = &context;
      options.server_hostname = "localhost";
      auto dialling = dial(server, options);
      Dialled dialled = co_await std::move(dialling);
      Connection& link = dialled.link;
      link.writer.write("abc\n");
      EXPECT_EQ(co_await link.reader.readline(), "cba\n");
      EXPECT_EQ(link.writer.ssl_object().selected_alpn_protocol(), "http/1.1");
      link.writer.close();
      EXPECT_EQ(co_await error_of(detail::as_coroutine(link.writer.wait_closed())), "");
      co_await std::move(dialled.running);
    }
  };
  run(test());
}

TEST_P(TlsProgramsSlow, CurlIsServedByUs) {
  if (!has("curl")) GTEST_SKIP() << "curl is not installed";
  const auto answer = [](StreamReader reader, StreamWriter writer) -> Coroutine<> {
    const std::string head = co_await reader.readuntil("\r\n\r\n");
    writer.write("HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: 2\r\n\r\nok");
    writer.close();
    static_cast<void>(co_await outcome(detail::as_coroutine(writer.wait_closed())));
  };
  const auto test = [&]() -> Coroutine<> {
    SSLContext context = server_context();
    const std::string curl =
        "curl -sS --max-time 20 --cacert " + root + " https://localhost:PORT/ ";
    EXPECT_EQ(co_await serve(context, answer, curl), "ok");
    EXPECT_EQ(co_await serve(context, answer, curl + "--tls-max 1.2"), "ok");
    EXPECT_EQ(co_await serve(context, answer, curl + "--tlsv1.3"), "ok");
    context.load_verify_pem(test_root().cert());
    context.set_verify(SSLVerify::required);
    EXPECT_THAT(co_await serve(context, answer, curl), HasSubstr("[status"));
    EXPECT_EQ(co_await serve(context, answer, curl + "--cert " + cert + " --key " + key), "ok");
    const std::string bad = "curl -sS --max-time 20 https://localhost:PORT/";
    EXPECT_THAT(co_await serve(context, answer, bad), HasSubstr("certificate"));
  };
  run(test());
}

TEST_P(TlsProgramsSlow, GnutlsConnectsToUsAndWeToIt) {
  if (!has("gnutls-cli") || !has("gnutls-serv")) GTEST_SKIP() << "gnutls is not installed";
  const auto test = [this]() -> Coroutine<> {
    const SSLContext context = server_context();
    for (const char* version : {"VERS-TLS1.2", "VERS-TLS1.3"}) {
      const std::string priority =
          std::string(" --priority NORMAL:-VERS-ALL:+") + version + " --x509cafile " + root + " ";
      const auto hello = [](std::string command) {
        std::vector<Exchange> exchanges{{"hello\n", "hello\n"}};
        return converse(std::move(command), std::move(exchanges));
      };
      const std::string command =
          "timeout 20 gnutls-cli --logfile /dev/null" + priority + "--port PORT localhost";
      const std::string echoed = co_await serve(context, echo_line, command, hello);
      EXPECT_THAT(echoed, HasSubstr("hello\n"));

      const auto server = [&](int port) {
        return start("gnutls-serv --quiet --echo --port " + std::to_string(port) +
                     " --x509certfile " + cert + " --x509keyfile " + key +
                     " --priority NORMAL:-VERS-ALL:+" + version);
      };
      const SSLContext ours = client_context();
      ConnectOptions options;
      options.ssl = &ours;
      options.server_hostname = "localhost";
      auto dialling = dial(server, options);
      Dialled dialled = co_await std::move(dialling);
      Connection& link = dialled.link;
      link.writer.write("hello\n");
      EXPECT_EQ(co_await link.reader.readline(), "hello\n");
      link.writer.close();
      EXPECT_EQ(co_await error_of(detail::as_coroutine(link.writer.wait_closed())), "");
      co_await stop(std::move(dialled.running));
    }
  };
  run(test());
}

TEST_P(TlsProgramsSlow, NginxServesUsAndAsksUs) {
  if (!has("nginx")) GTEST_SKIP() << "nginx is not installed";
  const auto test = [this]() -> Coroutine<> {
    const std::string content = pattern(bulk_size);
    write_file("bulk", content);
    const auto answer = [](StreamReader reader, StreamWriter writer) -> Coroutine<> {
      const std::string head = co_await reader.readuntil("\r\n\r\n");
      writer.write("HTTP/1.0 200 OK\r\n\r\nfrom aster");
      writer.close();
      static_cast<void>(co_await outcome(detail::as_coroutine(writer.wait_closed())));
    };
    const SSLContext serving = server_context();
    ServerOptions how;
    how.ssl = &serving;
    Server ours = co_await start_server(answer, "127.0.0.1", 0, how);
    const std::string behind = std::to_string(ours.sockets().front().getsockname().port());
    const auto server = [&](int port) {
      const std::string configuration = write_file(
          "nginx.conf",
          "daemon off; master_process off; pid " + path("pid") + "; error_log " +
              path("error.log") + "; events {} http { access_log off; client_body_temp_path " +
              path("body") + "; proxy_temp_path " + path("proxy") + "; fastcgi_temp_path " +
              path("fastcgi") + "; uwsgi_temp_path " + path("uwsgi") + "; scgi_temp_path " +
              path("scgi") + "; server { listen 127.0.0.1:" + std::to_string(port) +
              " ssl; ssl_certificate " + cert + "; ssl_certificate_key " + key + "; root " +
              directory.string() + "; location /back { proxy_pass https://127.0.0.1:" + behind +
              "; proxy_ssl_verify on; proxy_ssl_name example.test; "
              "proxy_ssl_trusted_certificate " +
              root + "; } } }\n");
      return start("nginx -c " + configuration);
    };
    const SSLContext context = client_context();
    ConnectOptions options;
    options.ssl = &context;
    options.server_hostname = "localhost";
    auto dialling = dial(server, options);
    Dialled dialled = co_await std::move(dialling);
    Connection& link = dialled.link;
    link.writer.write("GET /bulk HTTP/1.1\r\nHost: localhost\r\n\r\n");
    static_cast<void>(co_await link.reader.readuntil("\r\n\r\n"));
    const std::string body = co_await link.reader.readexactly(bulk_size);
    EXPECT_TRUE(body == content);
    link.writer.write("GET /back HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n");
    const std::string proxied = co_await link.reader.read();
    EXPECT_THAT(proxied, HasSubstr("from aster"));
    link.writer.close();
    ours.close();
    co_await stop(std::move(dialled.running));
  };
  run(test());
}

TEST_P(TlsProgramsSlow, PythonConnectsToUsAndWeToIt) {
  if (!has("python3")) GTEST_SKIP() << "python3 is not installed";
  const auto test = [this]() -> Coroutine<> {
    const std::string client = write_file("client.py", R"(
import hashlib, socket, ssl, sys, threading
port, root, size = int(sys.argv[1]), sys.argv[2], int(sys.argv[3])
context = ssl.create_default_context(cafile=root)
if sys.argv[4] == "1.2": context.maximum_version = ssl.TLSVersion.TLSv1_2
data = bytes(range(251)) * (size // 251 + 1)
with socket.create_connection(("127.0.0.1", port)) as raw:
    with context.wrap_socket(raw, server_hostname="localhost") as s:
        sender = threading.Thread(target=lambda: s.sendall(data[:size]))
        sender.start()
        got = hashlib.sha256()
        while piece := s.recv(65536):  # Ends by a goodbye only.
            got.update(piece)
        sender.join()
        print(s.version(), got.hexdigest() == hashlib.sha256(data[:size]).hexdigest())
)");
    const SSLContext context = server_context();
    const std::string command =
        "timeout 60 python3 " + client + " PORT " + root + " " + std::to_string(bulk_size);
    EXPECT_EQ(co_await serve(context, echo_bulk, command + " 1.3"), "TLSv1.3 True\n");
    EXPECT_EQ(co_await serve(context, echo_bulk, command + " 1.2"), "TLSv1.2 True\n");

    const std::string program = write_file("server.py", R"(
import asyncio, ssl, sys
async def echo(reader, writer):
    while data := await reader.read(65536):
        writer.write(data)
        await writer.drain()
    writer.close()
    done.set()
async def main():
    global done
    done = asyncio.Event()
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    context.load_cert_chain(sys.argv[2], sys.argv[3])
    server = await asyncio.start_server(echo, "127.0.0.1", int(sys.argv[1]), ssl=context)
    await asyncio.wait_for(done.wait(), 60)
asyncio.run(main())
)");
    const auto server = [&](int port) {
      return create_task(shell("timeout 60 python3 " + program + " " + std::to_string(port) + " " +
                               cert + " " + key));
    };
    const SSLContext ours = client_context();
    ConnectOptions options;
    options.ssl = &ours;
    options.server_hostname = "localhost";
    auto dialling = dial(server, options);
    Dialled dialled = co_await std::move(dialling);
    Connection& link = dialled.link;
    const std::string data = pattern(bulk_size);
    const std::string received = co_await net_tests::exchange(link, data);
    EXPECT_TRUE(received == data);
    link.writer.close();
    EXPECT_EQ(co_await error_of(detail::as_coroutine(link.writer.wait_closed())), "");
    EXPECT_EQ(co_await std::move(dialled.running), "");
  };
  run(test());
}

}  // namespace
}  // namespace aster::net_tests
