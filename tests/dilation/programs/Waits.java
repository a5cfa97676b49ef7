// The waits of the JVM, as waits.py: `java Waits SECONDS SILENT REFUSING NAME...`
import java.net.URI;
import java.net.http.HttpClient;
import java.net.http.HttpRequest;
import java.net.http.HttpResponse.BodyHandlers;
import java.net.http.HttpTimeoutException;
import java.time.Duration;
import java.util.ArrayList;
import java.util.List;
import java.util.Map;
import java.util.concurrent.CompletableFuture;
import java.util.concurrent.TimeUnit;
import java.util.concurrent.TimeoutException;

public class Waits {
    interface Row {
        void run(long milliseconds) throws Exception;
    }

    static synchronized void say(String words) {
        System.out.println(words);
        System.out.flush();
    }

    public static void main(String[] arguments) throws Exception {
        long milliseconds = Math.round(Double.parseDouble(arguments[0]) * 1000);
        URI silent = URI.create("http://127.0.0.1:" + arguments[1] + "/");
        HttpClient client = HttpClient.newBuilder().version(HttpClient.Version.HTTP_1_1).build();
        Map<String, Row> rows = Map.of(
            "Thread.sleep", Thread::sleep,
            "Object.wait", time -> {
                Object nobody = new Object();
                long end = System.nanoTime() + time * 1000000, left;
                synchronized (nobody) {
                    while ((left = end - System.nanoTime()) > 0) // it may wake up for no reason
                        nobody.wait(left / 1000000, (int) (left % 1000000));
                }
            },
            "CompletableFuture.get", time -> {
                try {
                    new CompletableFuture<Void>().get(time, TimeUnit.MILLISECONDS);
                } catch (TimeoutException expected) {
                    return;
                }
                throw new AssertionError("did not time out");
            },
            "HttpClient timeout", time -> {
                try {
                    client.send(HttpRequest.newBuilder(silent).timeout(Duration.ofMillis(time)).build(), BodyHandlers.discarding());
                } catch (HttpTimeoutException expected) {
                    return;
                }
                throw new AssertionError("did not time out");
            });
        for (Row row : rows.values())
            row.run(1); // what it loads on first use is none of the wait
        say("ready");
        System.in.read();
        List<Thread> threads = new ArrayList<>();
        for (String name : List.of(arguments).subList(3, arguments.length)) {
            threads.add(new Thread(() -> {
                say("begin " + name);
                long began = System.nanoTime();
                try {
                    rows.get(name).run(milliseconds);
                } catch (Exception error) {
                    throw new RuntimeException(error);
                }
                say("end " + name + " " + (System.nanoTime() - began));
            }));
        }
        for (Thread thread : threads)
            thread.start();
        for (Thread thread : threads)
            thread.join();
        System.exit(0);
    }
}
