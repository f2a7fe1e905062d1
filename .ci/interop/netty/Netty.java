import io.netty.bootstrap.Bootstrap;
import io.netty.buffer.Unpooled;
import io.netty.channel.Channel;
import io.netty.channel.ChannelFuture;
import io.netty.channel.ChannelHandler;
import io.netty.channel.ChannelHandlerContext;
import io.netty.channel.ChannelInitializer;
import io.netty.channel.EventLoopGroup;
import io.netty.channel.MultiThreadIoEventLoopGroup;
import io.netty.channel.nio.NioIoHandler;
import io.netty.channel.socket.nio.NioDatagramChannel;
import io.netty.handler.codec.http3.*;
import io.netty.handler.codec.quic.*;
import java.io.ByteArrayOutputStream;
import java.io.File;
import java.net.InetSocketAddress;
import java.security.MessageDigest;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.HexFormat;
import java.util.List;
import java.util.concurrent.CompletableFuture;
import java.util.concurrent.TimeUnit;

/**
 * Netty, whose QUIC is Cloudflare's quiche, as a client of h3server and as a server for h3client.
 *
 * <p>usage: Netty client PORT CA CASE | Netty server PORT CERT KEY [retry]
 *
 * <p>The client fails unless it saw the behaviour that the case tests. The last line of its output
 * says what it saw.
 */
public class Netty {
  static final EventLoopGroup GROUP = new MultiThreadIoEventLoopGroup(1, NioIoHandler.newFactory());

  public static void main(String[] args) throws Exception {
    if (args[0].equals("server")) {
      serve(args);
      return;
    }
    try (Client c = new Client(Integer.parseInt(args[1]), new File(args[2]))) {
      System.out.println(
          switch (args[3]) {
            case "transfers" -> transfers(c);
            case "together" -> together(c);
            case "again" -> again(c);
            default -> throw new IllegalArgumentException(args[3]);
          });
    } finally {
      GROUP.shutdownGracefully(0, 1, TimeUnit.SECONDS);
    }
  }

  static byte[] pattern(int n) {
    byte[] b = new byte[n];
    for (int i = 0; i < n; i++) {
      b[i] = (byte) i;
    }
    return b;
  }

  static void require(boolean holds, String what) {
    if (!holds) {
      throw new AssertionError(what);
    }
  }

  static String transfers(Client c) throws Exception {
    c.connect();
    c.fetch(10_000_000);
    byte[] upload = pattern(5_000_000);
    String want = HexFormat.of().formatHex(MessageDigest.getInstance("SHA-256").digest(upload));
    String got = new String(c.ask("POST", "/sum", upload).await().body.toByteArray());
    require(got.startsWith(want), "sum " + got);
    return "GET of 10 MB, POST of 5 MB";
  }

  /** 100 requests at once over one connection, and 300 in turn. */
  static String together(Client c) throws Exception {
    c.connect();
    List<Answer> answers = new ArrayList<>();
    for (int i = 0; i < 100; i++) {
      answers.add(c.ask("GET", "/bytes/" + (1000 + i), null));
    }
    for (int i = 0; i < 100; i++) {
      answers.get(i).expect(1000 + i);
    }
    for (int i = 0; i < 300; i++) {
      c.fetch(i);
    }
    return "100 answers at once, 300 in turn";
  }

  /** Connections that resume the session of the first. */
  static String again(Client c) throws Exception {
    for (int i = 0; i < 3; i++) {
      c.connect();
      c.fetch(1000);
      c.connection.close().sync();
    }
    return "3 connections";
  }

  static <T extends QuicCodecBuilder<T>> T limits(T b) {
    return b.maxIdleTimeout(30, TimeUnit.SECONDS)
        .initialMaxData(10_000_000)
        .initialMaxStreamDataBidirectionalLocal(1_000_000)
        .initialMaxStreamDataBidirectionalRemote(1_000_000)
        .initialMaxStreamDataUnidirectional(1_000_000)
        .initialMaxStreamsBidirectional(100)
        .initialMaxStreamsUnidirectional(100);
  }

  /** A client with at most one connection. */
  static class Client implements AutoCloseable {
    final int port;
    final Channel socket;
    QuicChannel connection;

    Client(int port, File ca) throws Exception {
      this.port = port;
      QuicSslContext tls =
          QuicSslContextBuilder.forClient()
              .trustManager(ca)
              .applicationProtocols(Http3.supportedApplicationProtocols())
              .build();
      ChannelHandler codec =
          limits(Http3.newQuicClientCodecBuilder())
              .sslEngineProvider(q -> tls.newEngine(q.alloc(), "localhost", port))
              .build();
      socket = new Bootstrap().group(GROUP).channel(NioDatagramChannel.class).handler(codec).bind(0).sync().channel();
    }

    void connect() throws Exception {
      connection =
          QuicChannel.newBootstrap(socket)
              .handler(new Http3ClientConnectionHandler())
              .remoteAddress(new InetSocketAddress("127.0.0.1", port))
              .connect()
              .get(60, TimeUnit.SECONDS);
    }

    Answer ask(String method, String path, byte[] body) throws Exception {
      Answer a = new Answer();
      QuicStreamChannel s = Http3.newRequestStream(connection, a).sync().getNow();
      Http3HeadersFrame h = new DefaultHttp3HeadersFrame();
      h.headers().method(method).path(path).authority("localhost").scheme("https").add("x-name", "value");
      ChannelFuture last = s.writeAndFlush(h);
      if (body != null) {
        last = s.writeAndFlush(new DefaultHttp3DataFrame(Unpooled.wrappedBuffer(body)));
      }
      last.addListener(QuicStreamChannel.SHUTDOWN_OUTPUT);
      return a;
    }

    void fetch(int n) throws Exception {
      ask("GET", "/bytes/" + n, null).expect(n);
    }

    @Override
    public void close() throws Exception {
      connection.close().sync();
      socket.close().sync();
    }
  }

  /** The response to a request. */
  static class Answer extends Http3RequestStreamInboundHandler {
    final ByteArrayOutputStream body = new ByteArrayOutputStream();
    private String status = "";
    private final CompletableFuture<Answer> done = new CompletableFuture<>();

    Answer await() throws Exception {
      done.get(120, TimeUnit.SECONDS);
      require(status.equals("200"), "status " + status);
      return this;
    }

    void expect(int n) throws Exception {
      byte[] got = await().body.toByteArray();
      require(Arrays.equals(got, pattern(n)), got.length + " bytes of " + n);
    }

    @Override
    protected void channelRead(ChannelHandlerContext ctx, Http3HeadersFrame f) {
      if (f.headers().status() != null) {
        status = f.headers().status().toString();
      }
    }

    @Override
    protected void channelRead(ChannelHandlerContext ctx, Http3DataFrame f) {
      take(f, body);
    }

    @Override
    protected void channelInputClosed(ChannelHandlerContext ctx) {
      done.complete(this);
      ctx.close();
    }

    @Override
    public void channelInactive(ChannelHandlerContext ctx) throws Exception {
      done.completeExceptionally(new IllegalStateException("the stream has broken off"));
      super.channelInactive(ctx);
    }

    @Override
    public void exceptionCaught(ChannelHandlerContext ctx, Throwable e) {
      done.completeExceptionally(e);
      ctx.close();
    }
  }

  static void serve(String[] args) throws Exception {
    QuicSslContext tls =
        QuicSslContextBuilder.forServer(new File(args[3]), null, new File(args[2]))
            .applicationProtocols(Http3.supportedApplicationProtocols())
            .build();
    QuicServerCodecBuilder b = limits(Http3.newQuicServerCodecBuilder()).sslContext(tls);
    if (args.length > 4) {
      b.tokenHandler(InsecureQuicTokenHandler.INSTANCE);
    }
    ChannelHandler codec =
        b.handler(
                new ChannelInitializer<QuicChannel>() {
                  @Override
                  protected void initChannel(QuicChannel c) {
                    c.pipeline().addLast(new Http3ServerConnectionHandler(new Streams()));
                  }
                })
            .build();
    new Bootstrap()
        .group(GROUP)
        .channel(NioDatagramChannel.class)
        .handler(codec)
        .bind(new InetSocketAddress("127.0.0.1", Integer.parseInt(args[1])))
        .sync()
        .channel()
        .closeFuture()
        .sync();
  }

  static class Streams extends ChannelInitializer<QuicStreamChannel> {
    @Override
    protected void initChannel(QuicStreamChannel s) {
      s.pipeline().addLast(new Request());
    }
  }

  /** Appends the content of a DATA frame to a body. */
  static void take(Http3DataFrame f, ByteArrayOutputStream body) {
    byte[] b = new byte[f.content().readableBytes()];
    f.content().readBytes(b);
    body.writeBytes(b);
    f.release();
  }

  /** A request: /bytes/N gets the pattern, anything else its own body. */
  static class Request extends Http3RequestStreamInboundHandler {
    private String path = "";
    private final ByteArrayOutputStream body = new ByteArrayOutputStream();

    @Override
    protected void channelRead(ChannelHandlerContext ctx, Http3HeadersFrame f) {
      if (f.headers().path() != null) {
        path = f.headers().path().toString();
      }
    }

    @Override
    protected void channelRead(ChannelHandlerContext ctx, Http3DataFrame f) {
      take(f, body);
    }

    @Override
    protected void channelInputClosed(ChannelHandlerContext ctx) {
      byte[] answer = body.toByteArray();
      if (path.startsWith("/bytes/")) {
        answer = pattern(Integer.parseInt(path.substring("/bytes/".length())));
      }
      Http3HeadersFrame h = new DefaultHttp3HeadersFrame();
      h.headers().status("200").addInt("content-length", answer.length);
      ctx.write(h);
      ctx.writeAndFlush(new DefaultHttp3DataFrame(Unpooled.wrappedBuffer(answer)))
          .addListener(QuicStreamChannel.SHUTDOWN_OUTPUT);
    }
  }
}
