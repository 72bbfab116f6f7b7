import com.fasterxml.jackson.databind.JsonNode;
import com.fasterxml.jackson.databind.ObjectMapper;
import java.io.BufferedReader;
import java.io.InputStreamReader;
import java.io.PrintStream;
import java.lang.reflect.Method;
import java.nio.ByteBuffer;
import java.nio.charset.StandardCharsets;
import java.util.HashMap;
import java.util.HexFormat;
import java.util.Map;
import org.apache.kafka.common.protocol.ByteBufferAccessor;
import org.apache.kafka.common.protocol.Message;
import org.apache.kafka.common.protocol.MessageUtil;

/**
 * Kafka's own codec behind standard input and output, one message a line:
 *
 *     class <tab> version <tab> JSON in the form of Kafka's converters   ->   hex of the bytes
 *
 * Each message is also read back from those bytes and written again, which must give the same.
 */
public class Codec {
    private static final String[] PACKAGES = {
        "org.apache.kafka.common.message.", "org.apache.kafka.common.metadata.",
        "org.apache.kafka.coordinator.group.generated.", "org.apache.kafka.coordinator.transaction.generated.",
    };
    private static final Map<String, Class<?>> FOUND = new HashMap<>();

    public static void main(String[] arguments) throws Exception {
        ObjectMapper mapper = new ObjectMapper();
        BufferedReader lines = new BufferedReader(new InputStreamReader(System.in, StandardCharsets.UTF_8));
        PrintStream out = new PrintStream(System.out, false, StandardCharsets.UTF_8);
        for (String line; (line = lines.readLine()) != null;) {
            String[] parts = line.split("\t", 3);
            try {
                out.println(encode(parts[0], Short.parseShort(parts[1]), mapper.readTree(parts[2])));
            } catch (ReflectiveOperationException | RuntimeException problem) {
                Throwable cause = problem.getCause() == null ? problem : problem.getCause();
                out.println("! " + cause.toString().replace('\n', ' '));
            }
        }
        out.flush();
    }

    private static String encode(String name, short version, JsonNode json) throws ReflectiveOperationException {
        String data = name.endsWith("Request") || name.endsWith("Response") ? name + "Data" : name;
        Method read = find(data + "JsonConverter").getMethod("read", JsonNode.class, short.class);
        ByteBuffer bytes = MessageUtil.toByteBufferAccessor((Message) read.invoke(null, json, version), version).buffer();
        Message again = (Message) find(data).getConstructor().newInstance();
        again.read(new ByteBufferAccessor(bytes.duplicate()), version);
        String hex = hex(bytes);
        if (!hex.equals(hex(MessageUtil.toByteBufferAccessor(again, version).buffer()))) {
            throw new IllegalStateException("another message came back");
        }
        return hex;
    }

    private static String hex(ByteBuffer bytes) {
        byte[] copy = new byte[bytes.remaining()];
        bytes.duplicate().get(copy);
        return HexFormat.of().formatHex(copy);
    }

    private static Class<?> find(String name) throws ClassNotFoundException {
        if (!FOUND.containsKey(name)) {
            for (String folder : PACKAGES) {
                try {
                    FOUND.put(name, Class.forName(folder + name));
                    break;
                } catch (ClassNotFoundException elsewhere) {
                    continue;
                }
            }
        }
        if (!FOUND.containsKey(name)) {
            throw new ClassNotFoundException(name);
        }
        return FOUND.get(name);
    }
}
