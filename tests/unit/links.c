/* A program that needs nothing, of which a whole layer is made a part. */
int main(void) {
    return 0;
}
